import attrs
import numpy as np
import pytest
import torch

from codi_navigation.costs import (
    DetourCost,
    GoalCost,
    ImminentCost,
    JunctionCost,
    KeepRightCost,
    ObstacleCost,
    RoundaboutCost,
    SeparationCost,
)
from codi_navigation.costs.detour import detour
from codi_navigation.costs.junction import must_wait
from codi_navigation.costs.roundabout import islands_of
from codi_navigation.maps.shapes import Map, Maps, Obstacle
from codi_navigation.prediction.neighbours import neighbours
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.prediction.trajectory import SOON
from codi_navigation.simulation.contacts import drive
from codi_navigation.vehicles import Team
from tests.navigation.worlds import (
    EXTENT,
    open_state,
    random_chunks,
    random_state,
    straight_trajectory,
)

ALL = (
    SeparationCost(),
    GoalCost(),
    ObstacleCost(),
    KeepRightCost(),
    JunctionCost(),
    RoundaboutCost(),
    DetourCost(),
    ImminentCost(),
)


def predict(state, chunks, vehicle):
    return NavigationPredictor(Team.of(vehicle, state.robots)).predict(state, chunks).trajectory


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle", "mixed"])
def test_the_predictor_foresees_what_the_environment_does(vehicle):
    state = open_state([(-2, -2), (2, 2)], [(0, 0), (1, 0)], vehicle, headings=[0.3, -1.0])
    chunks = random_chunks(0, 2)
    path = predict(state, chunks, vehicle).position
    team = Team.of(vehicle, 2)
    for sample in range(5):
        now = state
        for step in range(16):
            commands = torch.stack([chunk[:, sample, step] for chunk in chunks], 1)
            now = drive(now, team, commands).state
        assert torch.allclose(path[:, sample, -1], now.position, atol=1e-4)


def test_worlds_and_samples_are_batched():
    state, chunks = random_state(1, 4, "mixed", worlds=3), random_chunks(1, 4, 3)
    together = predict(state, chunks, "mixed")
    costs = torch.stack([cost(together) for cost in ALL])
    for world in range(3):
        alone_state = state.of_worlds(torch.tensor([world]))
        alone = predict(alone_state, tuple(chunk[world : world + 1] for chunk in chunks), "mixed")
        assert torch.allclose(alone.position[0], together.position[world], atol=1e-5)
        values = torch.stack([cost(alone) for cost in ALL])
        assert torch.allclose(values[:, 0], costs[:, world], atol=1e-4)


def test_neighbours_are_those_that_brute_force_finds():
    state = random_state(5, robots=20, worlds=3)
    found = neighbours(state, 1.0, 19)
    expected = set()
    for world in range(3):
        for first in range(20):
            for second in range(first + 1, 20):
                gap = (state.position[world, first] - state.position[world, second]).norm() - 0.3
                if gap < 1.0:
                    expected.add((world, first, second))
    pairs = zip(found.world.tolist(), *found.members.T.tolist(), strict=True)
    assert set(pairs) == expected
    assert found.reach.tolist() == pytest.approx([0.3] * len(found))


def test_only_the_nearest_neighbours_count():
    starts = [(0.5 * number, 0.0) for number in range(5)]
    pairs = neighbours(open_state(starts, starts), 10.0, 1)
    # The first has the second, the last has the one before; those between choose either side.
    assert len(pairs) <= 4
    assert {(0, 1), (3, 4)} <= {tuple(pair) for pair in pairs.members.tolist()}


def test_a_robot_alone_has_no_pairs():
    state = open_state([(0, 0)], [(1, 0)])
    trajectory = straight_trajectory(state, [(1.0, 0.0)])
    assert len(trajectory.pairs) == 0
    assert SeparationCost()(trajectory).tolist() == [[0.0]]
    assert KeepRightCost()(trajectory).tolist() == [[0.0]]


def test_separation_is_the_hinge_of_the_worst_gap():
    state = open_state([(0, 0), (0.4, 0), (2.5, 2.5)], [(0, 0)] * 3)
    trajectory = straight_trajectory(state, [(0.0, 0.0)] * 3)
    assert SeparationCost(margin=0.06)(trajectory).item() == 0
    assert SeparationCost(margin=0.15)(trajectory).item() == pytest.approx(0.05, abs=1e-6)
    closing = straight_trajectory(state, [(0.05, 0.0), (0.0, 0.0), (0.0, 0.0)])
    # 5 cm/s for 1.6 s.
    assert SeparationCost(margin=0.06)(closing).item() == pytest.approx(0.04, abs=1e-5)


def test_what_is_imminent_is_the_separation_of_the_next_steps():
    state = open_state([(0, 0), (0.5, 0)], [(1, 0), (1, 1)])
    closing = straight_trajectory(state, [(0.1, 0.0), (0.0, 0.0)])
    # 10 cm/s for 0.6 s of a gap of 20 cm, and for 1.6 s.
    assert ImminentCost(margin=0.2)(closing).item() == pytest.approx(0.06, abs=1e-5)
    assert ImminentCost(margin=0.2, steps=16)(closing).item() == pytest.approx(0.16, abs=1e-5)
    assert SeparationCost(margin=0.2)(closing).item() == pytest.approx(0.16, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 3, SOON, 9, 16, 20])
def test_the_nearest_within_some_steps_is_that_of_all_their_places(steps):
    # One passes the other, nearest after four steps, and drives towards a third one.
    state = open_state([(0, 0), (0.4, 0.4), (1.5, 0)], [(2, 0), (1, 1), (2, 1)])
    trajectory = straight_trajectory(state, [(1.0, 0.0), (0.0, 0.0), (0.0, 0.0)])
    place = trajectory.position[0, 0, :steps]  # (k, 3, 2)
    gaps = place[:, trajectory.pairs.members[:, 0]] - place[:, trajectory.pairs.members[:, 1]]
    expected = gaps.norm(dim=-1).amin(0)
    assert len(expected) == 3
    torch.testing.assert_close(trajectory.nearest_within(steps).squeeze(-1), expected)


def test_progress_is_the_mean_distance_that_is_gained():
    trajectory = straight_trajectory(open_state([(0, 0)], [(3, 0)]), [(0.2, 0.0)])
    # 0.2 m/s at 0.4, 0.8, 1.2 and 1.6 s.
    assert GoalCost()(trajectory).item() == pytest.approx(-0.2, abs=1e-5)
    away = straight_trajectory(open_state([(0, 0)], [(3, 0)]), [(-0.2, 0.0)])
    assert GoalCost()(away).item() == pytest.approx(0.2, abs=1e-5)


def test_obstacles_cost_what_the_rim_lacks():
    wall = Obstacle.box(1.0, 0.0, 0.2, 2.0)
    state = open_state([(0.6, 0)], [(-2, 0)], obstacles=(wall,))
    still = straight_trajectory(state, [(0.0, 0.0)])
    assert ObstacleCost()(still).item() == 0
    into = straight_trajectory(state, [(0.1, 0.0)])
    # The rim is 15 cm off and comes 16 cm nearer.
    assert ObstacleCost(margin=0.02)(into).item() == pytest.approx(0.03, abs=1e-5)


def test_obstacles_in_the_way_are_not_forgotten_for_near_ones():
    shapes = [Obstacle.circle(-0.4 - 0.1 * number, 1.0, 0.05) for number in range(9)]
    wall = Obstacle.box(1.2, 0.0, 0.2, 2.0)
    state = open_state([(0, 0)], [(0, 2)], obstacles=(*shapes[:3], wall))
    into = straight_trajectory(state, [(1.0, 0.0)])
    assert ObstacleCost()(into).item() > 0.1


@pytest.mark.parametrize(("side", "cost"), [(-1, 0.0), (1, 1.0)])
def test_robots_that_meet_keep_right(side, cost):
    state = open_state([(-0.8, 0), (0.8, 0)], [(2, 0), (-2, 0)])
    # The first drives east and, for side -1, to its right, which is south.
    met = straight_trajectory(state, [(0.9, 0.25 * side), (-0.9, -0.25 * side)])
    assert KeepRightCost()(met).item() == cost


def test_robots_that_do_not_meet_may_do_as_they_like():
    state = open_state([(-0.8, 0), (0.8, 1.5)], [(2, 0), (-2, 0)])
    assert KeepRightCost()(straight_trajectory(state, [(0.9, 0.0), (-0.9, 0.0)])).item() == 0


def corridor_state(starts, goals):
    state = open_state(starts, goals)
    passage = Obstacle.box(0.0, 0.0, 1.0, 0.42)
    return attrs.evolve(state, maps=Maps.of([Map(EXTENT, (), (passage,))]))


def test_who_is_deepest_in_a_passage_has_the_right_of_way():
    state = corridor_state(
        [(-0.4, 0), (1.0, 0.1), (2.0, 0), (-1.5, 0)], [(2, 0), (-2, 0), (2.5, 0), (2, 0.5)]
    )
    # Robot 0 is inside; 1 comes from the other side; 2 is where it wants to be; 3 follows 0.
    waits = must_wait(state, state.maps.passages[:, 0])
    assert waits.tolist() == [[False, True, False, False]]


def test_who_is_through_no_longer_blocks_a_passage():
    state = corridor_state([(0.7, 0), (1.6, 0.1)], [(2, 0), (-2, 0)])
    assert must_wait(state, state.maps.passages[:, 0]).tolist() == [[False, False]]


def test_a_junction_costs_the_time_spent_in_it_out_of_turn():
    state = corridor_state([(-0.6, 0), (1.6, 0)], [(2, 0), (-2, 0)])
    into = straight_trajectory(state, [(0.0, 0.0), (-1.0, 0.0)])
    inside = (into.position[0, 0, :, 1, 0] - 0.5 < 0.6).float().mean()
    assert 0.3 < inside < 1
    assert JunctionCost()(into).item() == pytest.approx(inside.item())
    waiting = straight_trajectory(state, [(1.0, 0.0), (0.1, 0.0)])
    assert JunctionCost()(waiting).item() == 0


def roundabout_state(starts, goals, radius=1.0):
    state = open_state(starts, goals)
    island = Obstacle.circle(0.5, 0.0, radius)
    return attrs.evolve(state, maps=Maps.of([Map(EXTENT, roundabouts=(island,))]))


def test_a_roundabout_costs_the_time_spent_on_its_island():
    state = roundabout_state([(-1.0, 0.0)], [(-2.0, 0.0)])
    into = straight_trajectory(state, [(1.0, 0.0)])
    depth = (into.position[0, 0, :, 0, 0] + 0.5).clamp_min(0)
    assert 0.3 < (depth > 0).float().mean() < 1
    assert RoundaboutCost(1.0)(into).item() == pytest.approx((depth > 0).float().mean().item())
    expected = (depth > 0).float() + 2 * depth
    assert RoundaboutCost()(into).item() == pytest.approx(expected.mean().item(), abs=1e-5)


@pytest.mark.parametrize(("side", "cost"), [(-1, 0.0), (1, 1.0)])
def test_who_has_to_cross_a_roundabout_drives_around_it_anticlockwise(side, cost):
    # West of the island on the way east: anticlockwise is south.
    state = roundabout_state([(-1.0, 0.0)], [(2.5, 0.0)])
    around = straight_trajectory(state, [(0.0, 0.6 * side)])
    assert RoundaboutCost()(around).item() == pytest.approx(cost)
    # Whose way misses the island may drive as it likes.
    free = roundabout_state([(-1.0, 0.0)], [(-1.0, 2.0)])
    assert RoundaboutCost()(straight_trajectory(free, [(0.0, 0.6 * side)])).item() == 0


def test_standing_still_breaks_no_rule_of_a_roundabout():
    state = roundabout_state([(-1.0, 0.0)], [(2.5, 0.0)])
    assert RoundaboutCost()(straight_trajectory(state, [(0.0, 0.0)])).item() == 0


def around_the_island(places, goal):
    """The detour from places to a goal, around an island of radius 0.5 m at the origin."""
    state = roundabout_state([places[0]], [goal], radius=0.5)
    (island,) = islands_of(straight_trajectory(state, [(0.0, 0.0)]))
    place = torch.tensor(places)[:, :, None, None, None]
    return detour(place, torch.tensor(goal)[:, None, None], island).flatten()


def test_a_detour_is_two_tangents_and_the_arc_between_them():
    # Half a turn less the two tangents' 60 degrees each, and tangents of sin 60 degrees.
    (half,) = around_the_island([(-1.0, 0.0)], (1.0, 0.0))
    expected = 2 * np.sin(np.pi / 3) + 0.5 * np.pi / 3 - 2
    assert half.item() == pytest.approx(expected, abs=1e-5)
    # South-west of it on the way around, and north-west of it: back, or on past the goal's side.
    before, after = around_the_island([(-0.8, 0.6), (-0.8, -0.6)], (1.0, 0.0))
    turn = np.pi - np.arctan2(0.6, 0.8)
    straight = np.hypot(1.8, 0.6)
    near = 2 * np.sin(np.pi / 3) + 0.5 * (turn - 2 * np.pi / 3) - straight
    far = 2 * np.sin(np.pi / 3) + 0.5 * (2 * np.pi - turn - 2 * np.pi / 3) - straight
    assert (after.item(), before.item()) == pytest.approx((near, far), abs=1e-5)
    # Where the straight way misses the island there is none.
    assert around_the_island([(0.0, -1.0), (0.8, -0.6), (0.8, 0.6)], (1.0, 0.0)).tolist() == [0] * 3


def test_progress_around_an_island_is_paid_from_the_beginning():
    state = roundabout_state([(-1.0, 0.0)], [(1.0, 0.0)], radius=0.5)
    along, against, onto = (
        straight_trajectory(state, [velocity]) for velocity in ((0.0, -0.5), (0.0, 0.5), (0.0, 0.0))
    )
    assert DetourCost()(onto).item() == 0
    gained = GoalCost()(along).item() + DetourCost()(along).item()
    # At 0.5 m/s it is 0.47 m along a tangent on average, of which little points to the goal.
    assert GoalCost()(along).item() > 0
    assert gained < -0.05
    assert DetourCost()(against).item() > 0.1
    free = roundabout_state([(-1.0, 0.0)], [(-1.0, 2.0)])
    assert DetourCost()(straight_trajectory(free, [(0.0, 0.5)])).item() == 0


def test_what_follows_from_the_state_is_made_once_a_plan():
    state, predictor = open_state([(0, 0)], [(3, 0)]), NavigationPredictor(Team.of("holonomic", 1))
    made = []

    def make():
        made.append(len(made))
        return torch.zeros(1)

    for _ in range(3):
        predictor.predict(state, random_chunks(0, 1)).trajectory.once("fact", make)
    assert made == [0]
    other = attrs.evolve(state, position=state.position + 1)
    predictor.predict(other, random_chunks(0, 1)).trajectory.once("fact", make)
    assert made == [0, 1]


@pytest.mark.parametrize("cost", ALL, ids=lambda cost: type(cost).__name__)
def test_a_cost_is_the_sum_of_its_terms_and_each_robot_has_its_share(cost):
    state = random_state(7, robots=7, worlds=2)
    trajectory = predict(state, random_chunks(7, 7, 2), "holonomic")
    terms = cost.terms(trajectory)
    expected_total, expected_share = torch.zeros(2, 5), torch.zeros(2, 7, 5)
    for value, world, members in zip(
        terms.values, terms.world.tolist(), terms.members.tolist(), strict=True
    ):
        expected_total[world] += value
        for robot in set(members):
            expected_share[world, robot] += value
    assert torch.allclose(cost(trajectory), expected_total, atol=1e-5)
    assert torch.allclose(terms.involving(7), expected_share, atol=1e-5)


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle"])
def test_permuting_robots_permutes_shares_and_leaves_costs(vehicle):
    order = np.array([3, 0, 2, 1])
    starts = np.array([(-1.0, 0), (1, 0.1), (0, 0.9), (0.2, -0.8)])
    goals, headings = -starts, np.array([0.0, 3.0, -1.5, 1.5])
    chunks = random_chunks(4, 4)
    one = predict(open_state(starts, goals, vehicle, 0.15, headings), chunks, vehicle)
    other = predict(
        open_state(starts[order], goals[order], vehicle, 0.15, headings[order]),
        tuple(chunks[row] for row in order),
        vehicle,
    )
    for cost in (SeparationCost(), GoalCost(), KeepRightCost()):
        assert torch.allclose(cost(one), cost(other), atol=1e-4)
        before, after = (cost.terms(path).involving(4) for path in (one, other))
        assert torch.allclose(before[:, order], after, atol=1e-4)
