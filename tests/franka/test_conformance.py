"""The task keeps the contracts that codi_core's conformance kit checks."""

from __future__ import annotations

import pytest
import torch

from codi_core.experiments import prepare
from codi_core.policies import AgentView, DiffusionPolicy, Factor, PolicySpec
from codi_core.predictors import Predictor
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_core.testing import (
    check_base_policy,
    check_cost_function,
    check_predictor,
    check_task,
)
from codi_franka.action import ACTION_SPEC
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import SHAPES
from codi_franka.robot.cell import ARMS
from codi_franka.task import COSTS, HandoffTask
from franka.scenes import random_chunks


def untrained() -> tuple[Factor, ...]:
    """Factors that need no checkpoint."""
    torch.manual_seed(0)
    policy = DiffusionPolicy.build(PolicySpec(ACTION_SPEC, SHAPES), "mlp", width=16, depth=1)
    return tuple(Factor(policy, (index,), AgentView(arm)) for index, arm in enumerate(ARMS))


def test_the_task_with_an_untrained_policy() -> None:
    """Both predictors, the environment, the costs and the metrics."""
    check_task(HandoffTask(), factors=untrained())


def test_the_task_with_its_own_policy() -> None:
    check_task(HandoffTask())
    check_base_policy(prepare("franka-handoff").product().factors[0].policy)


@pytest.mark.parametrize("name", COSTS)
def test_the_costs(name: str) -> None:
    """On predicted trajectories of arms that drive at each other, in two worlds."""
    parts = HandoffTask().parts(HandoffOptions())
    step = parts.environment(Resources()).reset([EpisodeKey(0, 0), EpisodeKey(0, 1)])
    predictor: Predictor = parts.predictors["kinematic"](Resources())
    generator = torch.Generator().manual_seed(1)
    shape = (2, 3, ACTION_SPEC.horizon, ACTION_SPEC.dimension)
    chunks = tuple(0.5 * torch.randn(shape, generator=generator) for _ in ARMS)
    for chunk in chunks:
        chunk[..., 0] += 0.5  # [m/s], forward in each arm's own base frame
    check_cost_function(COSTS[name](), predictor.predict(step.state, chunks).trajectory)


@pytest.mark.parametrize("name", ["kinematic", "mujoco"])
def test_the_predictors(name: str) -> None:
    """Worlds with goals of their own; the costs are judged sample by sample as well."""
    parts = HandoffTask().parts(HandoffOptions())
    keys, goals = [EpisodeKey(0, 0), EpisodeKey(0, 1)], [(0.3, 0.1), (-0.3, 0.2)]
    state = parts.environment(Resources()).reset(keys, goal=goals).state
    costs = {cost: COSTS[cost]() for cost in COSTS}
    check_predictor(parts.predictors[name](Resources()), state, random_chunks(2, 3, 16), costs)
