import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey
from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map, Obstacle
from codi_navigation.scenarios.base import Scenario, time_limit, travel_time
from codi_navigation.scenarios.swap import Swap, SwapOptions
from codi_navigation.simulation.contacts import drive
from codi_navigation.simulation.environment import NavigationEnvironment
from codi_navigation.vehicles import Team
from tests.navigation.worlds import EXTENT, PILLAR, open_state


def run(state, commands, steps, vehicle="holonomic"):
    team = Team.of(vehicle, state.robots)
    outcomes = []
    for _ in range(steps):
        outcome = drive(state, team, torch.tensor([commands], dtype=torch.float32))
        state = outcome.state
        outcomes.append(outcome)
    return outcomes


def test_free_robots_drive_as_their_vehicles_do():
    last = run(open_state([(0, 0), (2, 0)], [(1, 0), (2, 2)]), [(1.0, 0.0), (0.0, 0.4)], 10)[-1]
    # 0.2, 0.4, 0.6, 0.8 and then 1 m/s, each for a tenth of a second.
    assert last.state.position[0, 0].tolist() == pytest.approx([0.8, 0.0], abs=1e-5)
    assert last.state.position[0, 1].tolist() == pytest.approx([2.0, 0.38], abs=1e-5)
    assert not last.robot_contact.any()


def test_robots_that_meet_stop_before_they_overlap():
    outcomes = run(open_state([(-1, 0), (1, 0)], [(1, 0), (-1, 0)]), [(1.0, 0), (-1.0, 0)], 14)
    last = outcomes[-1].state.position[0]
    gap = (last[0] - last[1]).norm().item()
    assert 0.3 <= gap <= 0.3 + 0.02 + 1e-5
    first = next(step for step, one in enumerate(outcomes) if one.robot_contact.any())
    assert outcomes[first].robot_contact.all()
    assert outcomes[first].closest.item() == 0.0
    assert (outcomes[first].state.velocity == 0).all()
    assert outcomes[first - 1].closest.item() > 0


def test_a_robot_that_hits_an_obstacle_stops_at_it():
    state = open_state([(-1, -1)], [(-1, 2)], obstacles=(PILLAR,))
    outcomes = run(state, [(0.0, 1.0)], 25)
    assert outcomes[-1].obstacle_contact.all()
    height = outcomes[-1].state.position[0, 0, 1].item()
    assert 0.45 - 0.01 - 1e-5 <= height <= 0.45


def test_a_robot_leaves_what_it_touched():
    state = open_state([(-1, 0.2)], [(-1, 2)], obstacles=(PILLAR,))
    touching = run(state, [(0.0, 1.0)], 6)[-1].state
    away = run(touching, [(0.0, -1.0)], 4)
    assert not away[-1].obstacle_contact.any()
    assert away[-1].state.position[0, 0, 1] < touching.position[0, 0, 1] - 0.1


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_disks_never_overlap_whatever_is_commanded(seed):
    generator = np.random.default_rng(seed)
    starts = np.stack(np.meshgrid([-0.5, 0.0, 0.5], [-0.5, 0.0, 0.5]), -1).reshape(-1, 2)
    state = open_state(starts, starts, obstacles=(Obstacle.box(0.9, 0.0, 0.2, 3.0),))
    team = Team.of("mixed", 9)
    for _ in range(8):
        commands = torch.as_tensor(generator.uniform(-2, 2, (1, 9, 2)), dtype=torch.float32)
        state = drive(state, team, commands).state
        gaps = torch.cdist(state.position, state.position)[0] + 10 * torch.eye(9)
        assert gaps.min() >= 0.3 - 1e-5
        assert state.maps.distance(state.position).min() >= 0.15 - 1e-5


def test_a_world_moves_alone_as_it_does_in_a_batch():
    options = SwapOptions(agents=5, vehicle="mixed")
    environment = NavigationEnvironment(Swap(options), Team.of("mixed", 5), options)
    actions = torch.rand(5, 1, 2, generator=torch.Generator().manual_seed(0))
    keys = [EpisodeKey(0, number) for number in range(3)]
    environment.reset(keys)
    for _ in range(5):
        both = environment.step(tuple(actions.expand(-1, 3, -1)))
    environment.reset(keys[1:2])
    for _ in range(5):
        alone = environment.step(tuple(actions))
    for name, value in alone.observation.items():
        assert torch.allclose(value[0], both.observation[name][1], atol=1e-5)
    assert alone.events["closest_m"][0] == pytest.approx(both.events["closest_m"][1], abs=1e-5)


def test_permuting_robots_permutes_what_happens():
    starts = np.array([(-1.0, 0), (1, 0), (0, 0.9)])
    goals, commands = -starts, np.array([(1.0, 0.1), (-1.0, 0), (0, -1.0)])
    order = [2, 0, 1]
    one = run(open_state(starts, goals), commands.tolist(), 12)[-1]
    other = run(open_state(starts[order], goals[order]), commands[order].tolist(), 12)[-1]
    assert torch.allclose(one.state.position[:, order], other.state.position, atol=1e-6)
    assert torch.equal(one.robot_contact[:, order], other.robot_contact)


class Lane(Scenario):
    """One robot has 1 m to go, another stands at its goal."""

    longest = 1.0

    def problem(self, generator):
        return Problem(Map(EXTENT), [(0, 0), (0, 2)], [(1, 0), (0, 2)], [0, 0])


def lane(**options):
    environment = NavigationEnvironment(Lane(), Team.of("holonomic", 2), SwapOptions(**options))
    environment.reset([EpisodeKey(0, 0)])
    return environment


def drive_lane(environment, velocity, steps):
    actions = (torch.tensor([velocity]), torch.zeros(1, 2))
    return [environment.step(actions) for _ in range(steps)]


def test_travel_times_follow_from_speed_and_acceleration():
    assert travel_time(2.0) == pytest.approx(2.0 + 0.5)
    # Half of 0.32 m takes 0.4 s at 2 m/s².
    assert travel_time(0.32) == pytest.approx(0.8)
    assert travel_time(0.5) == pytest.approx(1.0)
    assert time_limit(2.0) == pytest.approx(6.25)


def test_an_episode_fails_when_its_time_is_over():
    steps = drive_lane(lane(), (0.0, 0.0), 38)
    assert steps[-1].events["time_limit_s"][0] == pytest.approx(3.75)
    assert [bool(step.events["failed"][0]) for step in steps[-2:]] == [False, True]


def test_a_solved_episode_does_not_fail_later():
    environment = lane()
    steps = drive_lane(environment, (0.9, 0.0), 11) + drive_lane(environment, (0.0, 0.0), 40)
    assert environment.solved.all()
    assert not steps[-1].events["failed"].any()


def test_an_episode_ends_with_its_first_contact_unless_asked_otherwise():
    for stops in (True, False):
        environment = lane(stop_at_contact=stops)
        environment.state.position[0, 1] = torch.tensor([0.5, 0.0])
        steps = drive_lane(environment, (1.0, 0.0), 8)
        assert steps[-1].events["robot_contact"].all()
        assert bool(steps[-1].events["failed"][0]) == stops


def test_broken_actions_stop_a_robot_and_raise_nothing():
    step = drive_lane(lane(), (float("nan"), float("nan")), 1)[-1]
    assert step.events["position"][0, 0].tolist() == [0.0, 0.0]


def test_a_problem_without_solution_is_refused_at_the_reset():
    class Bad(Lane):
        def problem(self, generator):
            return Problem(Map(EXTENT, (PILLAR,)), [(0, 0), (0, 2)], [(-1, 1), (0, 2)], [0, 0])

    environment = NavigationEnvironment(Bad(), Team.of("holonomic", 2), SwapOptions())
    with pytest.raises(UsageError, match=r"robot 0's goal .* is inside an obstacle"):
        environment.reset([EpisodeKey(0, 0)])
