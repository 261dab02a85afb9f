import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_core.errors import SpecificationError, UsageError
from codi_core.tasks import EpisodeKey
from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map, Obstacle, walls
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
    assert time_limit(travel_time(2.0)) == pytest.approx(6.25)


def test_a_robot_that_has_to_turn_gets_the_time_for_it():
    # Half a turn at 3 rad/s, which 12 rad/s² lengthen by 0.25 s.
    turn = Team.of("unicycle", 1).turning_round[0]
    assert turn == pytest.approx(math.pi / 3 + 0.25)
    assert Team.of("mixed", 2).turning_round == (0.0, turn)
    assert travel_time(2.0, turn) == pytest.approx(2.5 + turn)
    assert time_limit(travel_time(2.0, turn)) == pytest.approx(2.5 * (2.5 + turn))


def test_the_time_limit_is_that_of_the_robot_that_takes_longest():
    one = Swap(SwapOptions(agents=4, vehicle="mixed"))
    team = Team.of("mixed", 4)
    environment = NavigationEnvironment(one, team, SwapOptions(agents=4, vehicle="mixed"))
    events = environment.reset([EpisodeKey(0, 0)]).events
    straight = travel_time(one.longest)
    expected = np.tile([straight, straight + team.turning_round[1]], 2)
    assert events["shortest_time_s"][0] == pytest.approx(expected, rel=1e-5)
    assert events["time_limit_s"][0] == pytest.approx(2.5 * expected[1], rel=1e-5)


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


class Anywhere(Scenario):
    """Two robots cross an open map, or a walled one of some size with some pillars."""

    longest = 8.0

    def problem(self, generator):
        half, pillars = generator.choice([2.0, 3.0, 3.5]), generator.integers(0, 3)
        extent = (-half, -half, half, half)
        shapes = [Obstacle.circle(0.8 * number, 0.1, 0.2) for number in range(pillars)]
        shapes += walls(extent) if pillars else []
        places = 0.6 * half * generator.choice([-1.0, 1.0], 2)
        starts = np.array([(places[0], -1.2), (places[1], 1.2)])
        return Problem(Map(extent, shapes), starts, -starts, [0, 0])


def anywhere():
    options = SwapOptions(agents=2, vehicle="mixed")
    return NavigationEnvironment(Anywhere(), Team.of("mixed", 2), options)


def keys(*episodes):
    return [EpisodeKey(0, episode) for episode in episodes]


def drive_anywhere(environment, seed, worlds, steps):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        actions = torch.rand(2, 1, 2, generator=generator).expand(-1, worlds, -1)
        step = environment.step(tuple(actions))
    return step


MOVING = ("position", "heading", "closest_m", "goal_distance_m", "failed", "succeeded")


def assert_same_world(one, row, other, other_row):
    for name in (*MOVING, "goal", "time_limit_s", "extent", "shortest_path_m"):
        assert one.events[name][row] == pytest.approx(other.events[name][other_row], abs=1e-5), name
    for name, value in one.observation.items():
        assert torch.allclose(value[row], other.observation[name][other_row], atol=1e-5), name


def test_worlds_of_many_sizes_move_as_they_do_alone():
    together = anywhere()
    together.reset(keys(*range(8)))
    assert len(set(together.state.routes.open.tolist())) == 2
    last = drive_anywhere(together, 1, 8, 12)
    for world in range(8):
        alone = anywhere()
        alone.reset(keys(world))
        assert_same_world(last, world, drive_anywhere(alone, 1, 1, 12), 0)


@pytest.mark.parametrize("first", [(0, 1, 7), (0, 1, 2), (4, 5, 4), (6, 7, 0)])
def test_some_worlds_start_anew_while_others_go_on(first):
    environment, untouched = anywhere(), anywhere()
    environment.reset(keys(*first))
    untouched.reset(keys(*first))
    before = drive_anywhere(environment, 1, 3, 9)
    drive_anywhere(untouched, 1, 3, 9)
    kept = before.state.position.clone()
    now = environment.reset(keys(4, 9), rows=[2, 0])
    assert now.time == pytest.approx(0.9)
    assert torch.equal(before.state.position, kept)  # what was handed out stays as it was
    assert torch.equal(now.state.position[1], before.state.position[1])
    for name in ("robot_contact", "obstacle_contact", *MOVING):
        assert np.array_equal(now.events[name][1], before.events[name][1])
    fresh = anywhere()
    started = fresh.reset(keys(9, 9, 4))
    for row in (0, 2):
        assert_same_world(now, row, started, row)
    after = drive_anywhere(environment, 2, 3, 6)
    expected, others = drive_anywhere(fresh, 2, 3, 6), drive_anywhere(untouched, 2, 3, 6)
    for row in (0, 2):
        assert_same_world(after, row, expected, row)
    assert_same_world(after, 1, others, 1)


def test_time_limits_count_from_a_worlds_own_start():
    environment = lane()
    environment.reset(keys(0, 1))
    still = (torch.zeros(2, 2), torch.zeros(2, 2))
    for _ in range(20):
        environment.step(still)
    environment.reset(keys(2), rows=[1])
    # The limit is 3.75 s.
    failed = [environment.step(still).events["failed"].tolist() for _ in range(38)]
    assert failed[17] == [True, False]
    assert failed[16] == [False, False]
    assert failed[36:] == [[True, False], [True, True]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([0], "1 worlds needs one episode key a world, not 2"), ([1, 1], "rows"), ([0, 2], "rows")],
)
def test_rows_that_do_not_exist_are_refused(rows, message):
    environment = anywhere()
    environment.reset(keys(0, 1))
    with pytest.raises(SpecificationError, match=message):
        environment.reset(keys(2, 3), rows=rows)
    with pytest.raises(SpecificationError, match="the first reset starts all of them"):
        anywhere().reset(keys(0), rows=[0])


def test_an_environment_pickles_and_copies():
    environment = anywhere()
    environment.reset(keys(0, 3))
    drive_anywhere(environment, 1, 2, 3)
    twins = (pickle.loads(pickle.dumps(environment)), copy.deepcopy(environment))
    expected = drive_anywhere(environment, 2, 2, 4)
    for twin in twins:
        assert_same_world(drive_anywhere(twin, 2, 2, 4), 1, expected, 1)
