"""Plans as they are measured: from pure noise, each with noise of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from torch import Tensor

from codi_core.composition import CoordinatedPolicy
from codi_core.execution.devices import to_device
from codi_core.experiments import Experiment
from codi_core.guidance import Guidance
from codi_core.planning import (
    NoiseSource,
    Observation,
    Plan,
    PlanContext,
    Planner,
    StreamKey,
)
from codi_core.policies import ProductPolicy
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.tasks import Step


def make_planner(
    experiment: Experiment, guidance: Guidance, steps: int, product: ProductPolicy | None = None
) -> CoordinatedPolicy:
    """CoDi from pure noise; ``codi-run`` begins from the previous plan, in half as many steps."""
    config = experiment.config
    schedule = KarrasSchedule(steps, config.sigma_max, config.sigma_min, config.rho)
    return CoordinatedPolicy(
        product or experiment.product(),
        guidance,
        AncestralSampler(schedule),
        experiment.predictor(),
        experiment.cost(),
    )


def plan(
    planner: Planner,
    step: Step,
    number: int,
    seed: int,
    previous: Plan | None = None,
    committed: int = 1,
) -> Plan:
    """Plan from what is seen in each world, after the first actions of a previous plan."""
    keys = [(seed, world, number) for world in range(len(step.events["failed"]))]
    context = context_of(planner, keys, with_history(step), step.state)
    if previous is not None:
        context = attrs.evolve(context, previous=previous.flat, committed=committed)
    return planner.plan(context)


def context_of(
    planner: Planner,
    keys: Sequence[StreamKey],
    observation: Observation,
    state: Any,
    device: str = "cpu",
) -> PlanContext:
    """A plan on a device, from what is seen on the CPU."""
    # A copy of the state: nothing that the predictor keeps for a state may help the next plan.
    there = to_device(attrs.evolve(state), device)
    noise = NoiseSource(keys, device)
    return PlanContext(noise, to_device(observation, device), planner.layout, there)


def with_history(step: Step) -> dict[str, Tensor]:
    """The observation (B, 1, ...), as policies see it."""
    return {name: value.unsqueeze(1) for name, value in step.observation.items()}
