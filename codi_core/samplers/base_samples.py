"""Samples of the base policies that a part draws for itself, beside the plan's own chunk."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Descent, PlanContext
from codi_core.samplers.base import Integrator
from codi_core.samplers.schedules import falling_levels
from codi_core.samplers.single_call import AncestralSampler

STEPS = 8
"""The denoising steps of samples of the base policies."""

ANCESTRAL = AncestralSampler()
"""What takes them unless another sampler is given."""


def base_samples(
    denoiser: Denoiser,
    count: int,
    steps: int,
    context: PlanContext,
    sampler: Integrator = ANCESTRAL,
    start: float | None = None,
) -> Tensor:
    """Draw ``count`` samples per world from the base policies in a few steps, (B, count, D).

    The noise levels fall in equal ratios to the lowest one of the plan's sampler,
    ``context.sigma_range``.

    Args:
        denoiser: of the base policies.
        count: how many samples.
        steps: how many noise levels.
        context: the plan.
        sampler: takes the steps.
        start: the first noise level; None stands for the highest one of the plan's sampler.

    Raises:
        SpecificationError: ``start`` is none of the plan's noise levels.
    """
    low, high = context.sigma_range
    first = high if start is None else start
    if not low <= first <= high:
        raise SpecificationError(
            f"base samples can't start at noise level {first:g}: the plan's are [{low:g}, {high:g}]"
        )
    levels = falling_levels(torch.full((), first, device=context.noise.device), low, steps)
    noisy = first * context.noise.normal(count, context.layout.size)
    return sampler.integrate(denoiser, noisy, Descent(levels), context)
