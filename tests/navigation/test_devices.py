"""What plans works where it is told to, in the numbers that it is told to."""

import attrs
import pytest
import torch

from codi_core import experiments
from codi_core.execution.devices import to_device
from codi_core.execution.graphs import GraphedPlanner
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_device, second_device
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
from codi_navigation.observation import observe
from codi_navigation.prediction.neighbours import neighbours
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.task import CorridorTask, SwapTask, WarehouseTask
from codi_navigation.vehicles import Team
from tests.core.planned_there import context_there, use_counter_streams, waits_of_a_replan
from tests.core.tape import tape
from tests.navigation.worlds import random_chunks, random_state

COSTS = (
    SeparationCost(),
    GoalCost(),
    ObstacleCost(),
    KeepRightCost(),
    JunctionCost(),
    RoundaboutCost(),
    DetourCost(),
    ImminentCost(),
)
KEYS = [EpisodeKey(0, 0), EpisodeKey(0, 1)]
TASKS = (SwapTask, CorridorTask, WarehouseTask)
METHODS = ("codi", "search:candidates=2,steps=2")


def parts_of(task):
    return task().parts(task.Options(agents=4, vehicle="mixed"))


@pytest.mark.parametrize("task", TASKS)
def test_predictions_and_costs_are_where_the_chunks_are(task):
    parts = parts_of(task)
    state = parts.environment(Resources()).reset(KEYS).state

    def run(device):
        predictor = parts.predictors["kinematic"](Resources(device))
        chunks = tuple(chunk.to(device) for chunk in random_chunks(0, 4, worlds=2))
        # A state that was left on the CPU is moved.
        trajectory = predictor.predict(state, chunks).trajectory
        terms = [cost.terms(trajectory) for cost in COSTS]
        return (
            trajectory.position,
            trajectory.state.position,
            [cost(trajectory) for cost in COSTS],
            [(term.total(), term.involving(4)) for term in terms],
        )

    check_device(run)


@pytest.mark.parametrize("task", TASKS)
def test_worlds_are_simulated_where_their_resources_say(task):
    parts = parts_of(task)

    def run(device):
        environment = parts.environment(Resources(device))
        environment.reset(KEYS)
        for step in range(3):
            actions = torch.linspace(-1, 1, 16).view(4, 2, 2) * (0.2 * step)
            seen = environment.step(tuple(actions.to(device)))
        started = environment.reset([EpisodeKey(0, 2)], rows=[1])
        ahead = torch.full((2, 3, 2), 0.5, device=device)
        state, observation = parts.advance(started.state, (ahead,) * 4)
        return (
            seen.state.position,
            dict(seen.observation),
            dict(started.observation),
            state.heading,
            dict(observation),
        )

    check_device(run)


@pytest.mark.parametrize("task", ["navigation-swap", "navigation-corridor"])
def test_teams_plan_there_with_the_tasks_own_settings(task):
    def run(device):
        options = {"agents": 3, "vehicle": "mixed"}
        experiment = experiments.prepare(task, options, device=device, samples=8)
        planner = experiment.planner()
        step = experiment.environment().reset(KEYS)
        return planner.plan(context_there(planner, step, KEYS, device)).chunks

    check_device(run)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["navigation-swap", "navigation-corridor", "navigation-warehouse"])
def test_a_replan_waits_for_nothing(task, method, monkeypatch):
    use_counter_streams(monkeypatch)
    with second_device() as device:
        waits, _ = waits_of_a_replan(small_experiment(task, device, 3, method=method), KEYS, device)
        assert waits == []


def test_guidance_by_terms_some_hops_away_waits_for_nothing(monkeypatch):
    use_counter_streams(monkeypatch)
    with second_device() as device:
        experiment = small_experiment("navigation-swap", device, 6, guidance="factored:hops=2")
        waits, _ = waits_of_a_replan(experiment, KEYS, device)
        assert waits == []


def small_experiment(task, device, agents, **more):
    options = {"agents": agents, "vehicle": "mixed"}
    plans = {"samples": 4, "steps": 2, "sampler": "warm-start:steps=2", **more}
    return experiments.prepare(task, options, device=str(device), **plans)


@pytest.mark.parametrize("method", METHODS)
def test_plans_of_a_team_are_recorded_and_replayed(method, monkeypatch):
    """Each replay finds its own neighbours."""
    use_counter_streams(monkeypatch)
    with second_device() as device:
        experiment = small_experiment("navigation-swap", device, 14, method=method)
        environment, plain = experiment.environment(), experiment.planner()
        graphed = GraphedPlanner(experiment.planner(), tape)
        for episode in range(2):
            step = environment.reset([EpisodeKey(0, episode)])
            # Robots keep their order on the circle, but not their distances.
            step.state.position.mul_(1 - 0.3 * episode)
            keys = [EpisodeKey(0, episode)]
            plans = [
                planner.plan(context_there(planner, step, keys, device))
                for planner in (graphed, plain)
            ]
            assert torch.equal(plans[0].flat, plans[1].flat)
            assert all(map(torch.equal, plans[0].chunks, plans[1].chunks))
        assert None not in graphed._recordings.values()


def test_larger_teams_take_no_more_operations(monkeypatch):
    use_counter_streams(monkeypatch)

    def operations(agents):
        experiment = small_experiment("navigation-swap", device, agents, method="codi")
        planner, step = experiment.planner(), experiment.environment().reset(KEYS[:1])
        context = context_there(planner, step, KEYS[:1], device)
        context = attrs.evolve(context, previous=planner.plan(context).flat, committed=1)
        _, replay = tape(lambda: planner.plan(context))
        return len(replay.__self__.operations)

    with second_device() as device:
        assert operations(6) == operations(24)


@pytest.mark.parametrize(
    ("robots", "most", "reach", "cell"),
    [
        (20, 19, 1.0, None),  # all that are near
        (20, 4, 1.0, None),  # not all of them fit
        (30, 3, 0.0, None),  # many robots without neighbours
        (30, 5, 2.0, 0.5),  # at the points of a lattice, some at the same one: ties
        (9, 1, 9.0, 1.0),
        (2, 12, 9.0, None),
        (1, 12, 9.0, None),
    ],
)
def test_neighbours_are_the_same_there(robots, most, reach, cell):
    state = random_state(robots, robots=robots, worlds=3)
    if cell is not None:
        state.position.div_(cell).round_().mul_(cell)
    here = neighbours(state, reach, most)
    with second_device() as device:
        moved = neighbours(to_device(state, device), reach, most)
        found = to_device(moved, "cpu")
    assert len(found) == 3 * robots * min(most, robots - 1)
    pair = found.reach > -torch.inf
    assert entries(found, pair) == entries(here, here.reach > -torch.inf)
    assert len(here) == int(pair.sum())
    # The others hold one robot twice.
    assert torch.equal(found.members[~pair, 0], found.members[~pair, 1])
    assert torch.equal(found.rows, found.members + robots * found.world.unsqueeze(-1))


def entries(pairs, chosen):
    parts = (pairs.world, *pairs.members.unbind(-1), *pairs.rows.unbind(-1), pairs.reach)
    return sorted(zip(*(part[chosen].tolist() for part in parts), strict=True))


@pytest.mark.parametrize("cost", [SeparationCost(), ImminentCost(), KeepRightCost()])
def test_entries_without_a_pair_cost_nothing_and_have_no_slope(cost):
    state = random_state(7, robots=5, vehicle="unicycle")
    predictor = NavigationPredictor(Team.of("unicycle", 5))

    def run(device):
        chunks = torch.stack(random_chunks(1, 5)).to(device).requires_grad_()
        trajectory = predictor.predict(state, tuple(chunks)).trajectory
        values = cost(trajectory)
        if not values.requires_grad:  # a rule
            return values
        return values, torch.autograd.grad(values.sum(), chunks)[0]

    check_device(run)


@pytest.mark.parametrize("vehicle", ["holonomic", "unicycle", "mixed"])
def test_numbers_have_the_type_of_the_chunks(vehicle):
    state = random_state(2, 5, vehicle, worlds=2)
    single = tuple(random_chunks(3, 5, worlds=2))
    double = tuple(chunk.double() for chunk in single)
    predictor = NavigationPredictor(Team.of(vehicle, 5))
    expected = predictor.predict(state, single).trajectory
    precise = predictor.predict(state, double).trajectory
    assert precise.position.dtype == precise.state.routes.goal.dtype == torch.float64
    assert torch.allclose(precise.position, expected.position.double(), atol=1e-5)
    for cost in COSTS:
        values = cost(precise)
        assert values.dtype == torch.float64
        assert torch.allclose(values, cost(expected).double(), atol=1e-3)
    seen = observe(precise.state, predictor.team)
    assert {value.dtype for value in seen.values()} == {torch.float64}
