import math

import numpy as np
import pytest
import torch

from codi_navigation.maps.shapes import Map, Obstacle, walls
from codi_navigation.routing import plan_routes
from tests.navigation.worlds import EXTENT

RADIUS = 0.15


def routes(goals, *obstacles):
    one = Map(EXTENT, (*walls(EXTENT), *obstacles)) if obstacles else Map(EXTENT)
    goals = np.asarray(goals, np.float32)[None]
    return plan_routes([one], goals, np.full(goals.shape[:2], RADIUS))


def test_without_obstacles_paths_are_straight():
    found = routes([(1.0, 2.0)])
    here = torch.tensor([[[-2.0, -2.0]]])
    assert found.distance(here).item() == pytest.approx(5.0)
    near, far = found.ahead(here, (1.0, 9.0))
    assert near[0, 0].tolist() == pytest.approx([-1.4, -1.2])
    assert far[0, 0].tolist() == pytest.approx([1.0, 2.0])


def test_a_path_round_a_corner_has_the_length_that_geometry_gives():
    # A thin wall from below up to the origin: the shortest way of a disk bends round a circle about
    # its end, whose radius is 1.2 times the disk's.
    wall = Obstacle.box(0.0, -1.5, 0.02, 3.0)
    found = routes([(1.5, -1.0)], wall)
    room = 1.2 * RADIUS
    reach = math.hypot(1.5, 1.0)
    tangent = math.sqrt(reach**2 - room**2)
    turn = 2 * (math.pi / 2 - math.atan2(-1.0, 1.5)) - 2 * math.acos(room / reach)
    expected = 2 * tangent + room * turn
    length = found.distance(torch.tensor([[[-1.5, -1.0]]])).item()
    assert length == pytest.approx(expected, rel=0.04)
    assert length > expected - 0.02


def test_looking_ahead_goes_down_the_distance():
    found = routes([(1.5, -1.0)], Obstacle.box(0.0, -1.5, 0.4, 3.0))
    here = torch.tensor([[[-1.5, -1.0]]])
    start = found.distance(here)
    for ahead, point in zip((0.6, 1.8), found.ahead(here, (0.6, 1.8)), strict=True):
        assert (start - found.distance(point)).item() == pytest.approx(ahead, abs=0.12)


def test_near_the_goal_the_distance_is_exact_to_the_goal_itself():
    found = routes([(0.33, 0.47)], Obstacle.circle(2.0, 2.0, 0.5))
    offsets = 0.3 * torch.randn(1, 1, 50, 2, generator=torch.Generator().manual_seed(0))
    offsets = offsets / offsets.norm(dim=-1, keepdim=True).clamp_min(0.25) * 0.25
    points = torch.tensor([0.33, 0.47]) + offsets
    assert found.distance(points).flatten().tolist() == pytest.approx(
        offsets.norm(dim=-1).flatten().tolist(), abs=1e-5
    )


def test_a_batch_plans_as_its_worlds_alone():
    maps = [Map(EXTENT, (Obstacle.box(0.0, -1.0, 0.4, 3.0),)), Map(EXTENT)]
    goals = np.array([[[1.5, -1.0], [0, 2]], [[1.5, -1.0], [0, 2]]], np.float32)
    radii = np.full((2, 2), RADIUS)
    here = torch.tensor([[-1.5, -1.0], [2.0, -2.0]]).expand(2, 2, 2)
    both = plan_routes(maps, goals, radii).distance(here)
    for world in range(2):
        alone = plan_routes(maps[world : world + 1], goals[:1], radii[:1]).distance(here[:1])
        assert torch.allclose(both[world], alone[0], atol=1e-5)


def test_routes_of_one_robot_can_be_picked():
    found = routes([(1.5, -1.0), (-1.5, 1.0)], Obstacle.box(0.0, -1.0, 0.4, 3.0))
    picked = found.of(torch.tensor([1]))
    here = torch.tensor([[[2.0, 2.0]]])
    assert picked.distance(here)[0, 0] == found.distance(here.expand(1, 2, 2))[0, 1]
