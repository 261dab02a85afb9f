import numpy as np
import pytest

from codi_core.errors import UsageError
from codi_navigation.maps.problem import check_problem
from codi_navigation.maps.shapes import Map
from codi_navigation.scenarios.corridor import Corridor, CorridorOptions
from codi_navigation.scenarios.swap import Swap, SwapOptions
from codi_navigation.scenarios.warehouse import Warehouse, WarehouseOptions


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("agents", [4, 8, 32, 128])
def test_neighbours_on_the_swap_circle_start_45_cm_apart_and_go_opposite(agents):
    problem = Swap(SwapOptions(agents=agents)).problem(generator())
    gaps = np.linalg.norm(problem.starts - np.roll(problem.starts, 1, 0), axis=-1)
    assert gaps == pytest.approx(0.45, abs=1e-5)
    assert problem.goals == pytest.approx(-problem.starts)
    check_problem(problem, 0.15)


@pytest.mark.parametrize("agents", [4, 8, 32, 128])
def test_everybody_fits_around_the_island_of_the_swap_circle(agents):
    problem = Swap(SwapOptions(agents=agents)).problem(generator())
    (island,) = problem.map.roundabouts
    assert island.rounding < np.linalg.norm(problem.starts, axis=-1).min()
    assert 2 * np.pi * island.rounding > agents * 0.3  # a lane of robots whose centres are on it


@pytest.mark.parametrize("agents", [16, 20, 32])
def test_a_lane_is_left_between_the_island_and_those_who_have_arrived(agents):
    scenario = Swap(SwapOptions(agents=agents))
    (island,) = scenario.map.roundabouts
    # Centres drive from the island's rim on, and two robots' radii from a goal.
    assert scenario.radius - 2 * 0.15 - island.rounding >= 0.15 - 1e-9
    assert island.rounding <= 0.75 * scenario.radius + 1e-9


def test_a_circle_without_room_for_that_lane_keeps_its_island():
    scenario = Swap(SwapOptions(agents=8))
    (island,) = scenario.map.roundabouts
    assert island.rounding == pytest.approx(0.75 * scenario.radius)


def test_the_largest_swap_circle_has_the_radius_of_its_circumference():
    scenario = Swap(SwapOptions(agents=128))
    assert scenario.radius == pytest.approx(128 * 0.45 / (2 * np.pi), rel=1e-3)


def test_corridor_groups_change_sides_through_a_passage_for_one():
    scenario = Corridor(CorridorOptions())
    problem = scenario.problem(generator())
    assert (np.sign(problem.starts[:, 0]) == [-1, 1, -1, 1]).all()
    assert (np.sign(problem.goals[:, 0]) == [1, -1, 1, -1]).all()
    width = 2 * problem.map.passages[0].half_width
    assert 2 * 0.15 < width < 4 * 0.15
    check_problem(problem, 0.15)


@pytest.mark.parametrize("radius", [0.05, 0.15, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_corridors_and_halls_are_solvable_problems(radius, seed):
    check_problem(Corridor(CorridorOptions(radius=radius)).problem(generator(seed)), radius)
    check_problem(Warehouse(WarehouseOptions(radius=radius)).problem(generator(seed)), radius)


def test_warehouses_differ_by_episode_and_repeat_by_seed():
    scenario = Warehouse(WarehouseOptions())
    one, same, other = (scenario.problem(generator(seed)) for seed in (1, 1, 2))
    assert isinstance(one.map, Map)
    assert one.map == same.map
    assert np.array_equal(one.starts, same.starts)
    assert one.map != other.map


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SwapOptions(agents=1), "--agents must be between 2 and 1024, not 1"),
        (lambda: SwapOptions(agents=1025), "--agents must be between 2 and 1024"),
        (lambda: SwapOptions(radius=0.3), r"--radius must be between 0\.05 m and 0\.25 m"),
        (lambda: SwapOptions(spacing=0.2), r"--spacing 0\.2: neighbours.*overlap"),
        (lambda: Corridor(CorridorOptions(agents=100)), "--agents 100 does not fit: each chamber"),
        (
            lambda: Warehouse(WarehouseOptions(agents=128, size=4.0)).problem(generator()),
            "--agents 128 does not fit: a hall of 4 m by 4 m has room for about",
        ),
        (lambda: WarehouseOptions(size=1.0), "--size must be between 4 m and 40 m"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_what_the_corridor_says_fits_does_fit():
    with pytest.raises(UsageError, match="robots of radius") as caught:
        Corridor(CorridorOptions(agents=120))
    fits = int(str(caught.value).split(" robots of radius")[0].split()[-1])
    check_problem(Corridor(CorridorOptions(agents=fits)).problem(generator()), 0.15)
