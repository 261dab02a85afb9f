"""What planners tell their parts about the plan, and what they check beforehand."""

from __future__ import annotations

from codi_core.errors import SpecificationError
from codi_core.planning import PlanContext
from codi_core.policies import ProductPolicy
from codi_core.samplers import Sampler


def fill_layout(context: PlanContext, product: ProductPolicy, sampler: Sampler) -> None:
    """Fill in the layout of the flat joint chunk and the range of noise levels."""
    context.blocks = product.blocks
    context.horizon = product.action.horizon
    context.sigma_range = (sampler.schedule.sigma_min, sampler.schedule.sigma_max)


def check_range(product: ProductPolicy, sampler: Sampler) -> None:
    """Check that the base policies know the sampler's noise levels.

    Raises:
        SpecificationError: the sampler's noise levels leave the base policies' range.
    """
    low, high = product.sigma_range
    schedule = sampler.schedule
    if schedule.sigma_min < low or schedule.sigma_max > high:
        raise SpecificationError(
            f"the schedule's noise levels [{schedule.sigma_min}, {schedule.sigma_max}] leave "
            f"the range [{low}, {high}] in which all base policies were trained"
        )
