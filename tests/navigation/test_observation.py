import math

import attrs
import numpy as np
import pytest
import torch

from codi_navigation.maps.shapes import Obstacle
from codi_navigation.observation import ENVIRONMENT, ENVIRONMENT_NAMES, SHAPES, STATE, observe
from codi_navigation.vehicles import Team
from tests.navigation.worlds import open_state, random_state


def seen(state, vehicle="holonomic", robot=0):
    observation = observe(state, Team.of(vehicle, state.robots))
    return observation[f"robot{robot}/{STATE}"][0], observation[f"robot{robot}/{ENVIRONMENT}"][0]


def test_every_number_has_a_name():
    assert SHAPES[ENVIRONMENT] == (len(ENVIRONMENT_NAMES),)
    _, around = seen(open_state([(0, 0)], [(1, 0)]))
    assert around.shape == SHAPES[ENVIRONMENT]


def test_the_goal_is_seen_along_the_robots_own_axes():
    _, ahead = seen(open_state([(0, 0)], [(3, 0)]))
    assert ahead[:4].tolist() == pytest.approx([1, 0, 1, 0], abs=1e-6)
    assert ahead[4:7].tolist() == pytest.approx([1, 0, 0.75], abs=1e-4)
    turned = open_state([(0, 0)], [(3, 0)], vehicle="unicycle", headings=[math.pi / 2])
    _, right = seen(turned, "unicycle")
    assert right[:2].tolist() == pytest.approx([0, -1], abs=1e-6)


def test_near_the_goal_centimetres_are_resolved():
    _, around = seen(open_state([(0, 0)], [(0.02, 0.01)]))
    length = math.hypot(0.02, 0.01)
    expected = math.tanh(length / 0.2) / length
    assert around[4:6].tolist() == pytest.approx([0.02 * expected, 0.01 * expected], rel=1e-4)
    assert around[:2].tolist() == pytest.approx([0.02 / 0.6, 0.01 / 0.6], abs=1e-5)


def test_clearances_are_measured_from_the_rim():
    wall = Obstacle.box(1.05, 0.0, 0.1, 6.0)
    _, around = seen(open_state([(0, 0)], [(0, 2)], obstacles=(wall,)))
    rays = around[7:]
    assert rays[0].item() == pytest.approx(math.exp(-(1.0 - 0.15) / 0.4), rel=1e-4)
    assert rays[12].item() == pytest.approx(math.exp(-2.0 / 0.4), rel=1e-4)


def test_a_robot_sees_nothing_of_the_others():
    near, far = ([(0, 0), (0.4, 0)], [(0, 0), (2.4, 2)])
    goals = [(2, 0), (-2, 0)]
    for one, other in zip(seen(open_state(near, goals)), seen(open_state(far, goals)), strict=True):
        assert torch.equal(one, other)


def test_moving_everything_changes_nothing():
    shapes = (Obstacle.box(0.8, 0.3, 0.4, 0.5, 0.3), Obstacle.circle(-0.5, 0.9, 0.3))
    moved = (Obstacle.box(1.3, 0.0, 0.4, 0.5, 0.3), Obstacle.circle(0.0, 0.6, 0.3))
    _, here = seen(open_state([(0, 0)], [(0.5, 2)], obstacles=shapes[1:]))
    _, there = seen(open_state([(0.5, -0.3)], [(1.0, 1.7)], obstacles=moved[1:]))
    assert torch.allclose(here[4:], there[4:], atol=0.02)
    assert torch.allclose(here[7:], there[7:], atol=1e-5)
    # The grid does not move along: a point far ahead differs by a fraction of its cell.
    assert torch.allclose(here[:4], there[:4], atol=0.12)


def test_turning_the_world_changes_nothing_for_a_unicycle():
    turn = 0.7
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    start, goal, pillar = np.array([0.2, 0.1]), np.array([1.5, -0.7]), np.array([0.8, 0.9])
    views = []
    for by, angle in ((np.eye(2), 0.0), (rotation, turn)):
        shape = Obstacle.circle(*(by @ pillar), 0.3)
        state = open_state([by @ start], [by @ goal], "unicycle", 0.15, [0.3 + angle], (shape,))
        views.append(seen(state, "unicycle")[1])
    assert torch.allclose(views[0][4:7], views[1][4:7], atol=0.01)
    assert torch.allclose(views[0][7:], views[1][7:], atol=1e-4)


def test_permuting_robots_permutes_what_they_see():
    state = random_state(3, robots=4, obstacles=())
    order = torch.tensor([2, 0, 3, 1])
    observation = observe(state, Team.of("holonomic", 4))
    swapped = attrs.evolve(
        state,
        position=state.position[:, order],
        velocity=state.velocity[:, order],
        routes=attrs.evolve(state.routes, goal=state.routes.goal[:, order]),
    )
    other = observe(swapped, Team.of("holonomic", 4))
    for place, robot in enumerate(order.tolist()):
        for name in SHAPES:
            assert torch.equal(other[f"robot{place}/{name}"], observation[f"robot{robot}/{name}"])
