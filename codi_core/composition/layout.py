"""What planners tell their parts about the plan, and what they check before and after it."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.errors import PlanError, SpecificationError
from codi_core.planning import Plan, PlanContext
from codi_core.policies import ProductPolicy
from codi_core.samplers import Sampler


def fill_layout(context: PlanContext, product: ProductPolicy, sampler: Sampler) -> None:
    """Fill in the layout of the flat joint chunk and the range of noise levels."""
    context.blocks = product.blocks
    context.agents = tuple(factor.agents for factor in product.factors)
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


def finish(flat: Tensor, product: ProductPolicy, context: PlanContext) -> Plan:
    """The plan with this flat joint chunk, (B, D).

    Raises:
        PlanError: an action is not finite. No plant may get it.
    """
    chunks = product.decode(flat)
    finite = torch.stack([torch.isfinite(chunk).flatten(1).all(-1) for chunk in chunks]).all(0)
    if not bool(finite.all()):
        raise PlanError(
            f"the planned actions of {int((~finite).sum())} of {len(finite)} worlds are not "
            "finite: either a base policy or its observation is not finite, or the guidance "
            "diverged; against the latter, raise the temperature, scale the cost down, or take a "
            "guidance that needs no gradient"
        )
    return Plan(chunks, flat, context.diagnostics)
