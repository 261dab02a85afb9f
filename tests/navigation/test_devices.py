"""What plans works where it is told to, in the numbers that it is told to."""

import pytest
import torch

from codi_core import experiments
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_device, second_device
from codi_navigation.costs import (
    GoalCost,
    ImminentCost,
    JunctionCost,
    KeepRightCost,
    ObstacleCost,
    RoundaboutCost,
    SeparationCost,
)
from codi_navigation.observation import observe
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.task import CorridorTask, SwapTask, WarehouseTask
from codi_navigation.vehicles import Team
from tests.core.planned_there import context_there, use_counter_streams, waits_of_a_replan
from tests.navigation.worlds import random_chunks, random_state

COSTS = (
    SeparationCost(),
    GoalCost(),
    ObstacleCost(),
    KeepRightCost(),
    JunctionCost(),
    RoundaboutCost(),
    ImminentCost(),
)
KEYS = [EpisodeKey(0, 0), EpisodeKey(0, 1)]
TASKS = (SwapTask, CorridorTask, WarehouseTask)


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
            [(term.values, term.world, term.members) for term in terms],
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


@pytest.mark.parametrize("task", ["navigation-swap", "navigation-corridor"])
def test_a_replan_waits_for_nothing_but_the_search_for_neighbours(task, monkeypatch):
    """Which robots are near each other is found on the host, once in a plan."""
    use_counter_streams(monkeypatch)
    with second_device() as device:
        options = {"agents": 3, "vehicle": "mixed"}
        plans = {"samples": 4, "steps": 2, "sampler": "warm-start:steps=2"}
        experiment = experiments.prepare(task, options, device=str(device), **plans)
        waits, _ = waits_of_a_replan(experiment, KEYS, device)
        assert len(waits) == 4
        assert all("prediction/neighbours.py" in place for place in waits)


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
