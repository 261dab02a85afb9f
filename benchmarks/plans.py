"""Plans as they are measured: from pure noise, each with noise of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from torch import Tensor

from codi_core.composition import CoordinatedPolicy
from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.guidance import Guidance
from codi_core.planning import NoiseSource, Plan, PlanContext, Planner
from codi_core.policies import Factor, ProductPolicy
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.tasks import Step, TaskParts


def make_planner(
    parts: TaskParts,
    factors: tuple[Factor, ...],
    costs: Mapping[str, Callable[[], CostFunction]],
    guidance: Guidance,
    steps: int,
) -> CoordinatedPolicy:
    """CoDi from pure noise; ``codi-run`` begins from the previous plan, in half as many steps."""
    settings = parts.settings
    schedule = KarrasSchedule(steps, settings.sigma_max, settings.sigma_min, settings.rho)
    terms = (CostTerm(name, costs[name](), weight) for name, weight in parts.default_costs.items())
    return CoordinatedPolicy(
        ProductPolicy(factors),
        guidance,
        AncestralSampler(schedule),
        next(iter(parts.predictors.values()))(1),
        WeightedCost(tuple(terms)),
    )


def plan(planner: Planner, step: Step, number: int, seed: int) -> Plan:
    """Plan from what is seen in each world."""
    keys = [(seed, world, number) for world in range(len(step.events["failed"]))]
    # A copy of the state: nothing that the predictor keeps for a state may help the next plan.
    state = attrs.evolve(step.state)
    context = PlanContext(NoiseSource(keys), with_history(step), planner.layout, state)
    return planner.plan(context)


def with_history(step: Step) -> dict[str, Tensor]:
    """The observation (B, 1, ...), as policies see it."""
    return {name: value.unsqueeze(1) for name, value in step.observation.items()}
