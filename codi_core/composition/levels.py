"""The noise levels of a plan: those of its schedule, which all base policies must know."""

from __future__ import annotations

import attrs

from codi_core.errors import SpecificationError
from codi_core.planning import PlanContext
from codi_core.policies import ProductPolicy
from codi_core.samplers import Schedule


def check_levels(product: ProductPolicy, schedule: Schedule) -> None:
    """Check that the base policies know the schedule's noise levels.

    Raises:
        SpecificationError: the noise levels leave the base policies' range.
    """
    low, high = product.sigma_range
    if schedule.sigma_min < low or schedule.sigma_max > high:
        raise SpecificationError(
            f"the schedule's noise levels [{schedule.sigma_min}, {schedule.sigma_max}] leave "
            f"the range [{low}, {high}] in which all base policies were trained"
        )


def at_levels_of(schedule: Schedule, context: PlanContext) -> PlanContext:
    """The same plan with the schedule's noise levels; diagnostics and cache are shared."""
    return attrs.evolve(context, sigma_range=(schedule.sigma_min, schedule.sigma_max))
