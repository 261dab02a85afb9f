"""A few ancestral steps with the unguided denoiser: samples of the base policies."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.planning import Denoiser, Descent, PlanContext

STEPS = 8
"""The denoising steps of samples of the base policies."""


def falling_levels(start: Tensor, end: float, steps: int) -> Tensor:
    """Noise levels in equal ratios from ``start`` to ``end``, then zero.

    Args:
        start: the first level, () or (B,).
        end: the last level above zero; a start below it is its own end.
        steps: how many levels above zero.

    Returns:
        (steps + 1,) or (steps + 1, B), falling.
    """
    ramp = torch.linspace(0, 1, steps, device=start.device, dtype=torch.float64)
    ramp = ramp.reshape(-1, *[1] * start.ndim)
    high = start.double()
    levels = high * (high.clamp_max(end) / high) ** ramp
    return torch.cat([levels, levels.new_zeros(1, *start.shape)]).to(start.dtype)


def ancestral_steps(
    denoiser: Denoiser, noisy: Tensor, descent: Descent, context: PlanContext
) -> Tensor:
    """Denoise along falling levels, as DDPM does, with any axes between worlds and values.

    Args:
        denoiser: D(a_t, sigma), from (B, ..., D) to (B, ..., D).
        noisy: a_t at the first level, (B, ..., D).
        descent: along the levels, which may be one per world.
        context: has the noise.
    """
    denoised = noisy
    for sigma in descent:
        denoised = denoiser(noisy, sigma)
        after = descent.after()
        if descent.ended:
            break
        # One level per world stands in front of the axes of samples and values.
        shrink = _column(after / sigma, noisy).square()
        fresh = context.noise.normal(*noisy.shape[1:])
        spread = _column(after, noisy) * (1 - shrink).clamp_min(0).sqrt()
        noisy = denoised + shrink * (noisy - denoised) + spread * fresh
    return denoised


def base_samples(denoiser: Denoiser, count: int, steps: int, context: PlanContext) -> Tensor:
    """Draw ``count`` samples per world from the base policies in a few steps, (B, count, D).

    The noise levels span the range of the plan's sampler, ``context.sigma_range``.
    """
    low, high = context.sigma_range
    start = torch.tensor(high, device=context.noise.device)
    noisy = high * context.noise.normal(count, context.layout.size)
    return ancestral_steps(denoiser, noisy, Descent(falling_levels(start, low, steps)), context)


def _column(level: Tensor, like: Tensor) -> Tensor:
    return level.reshape(-1, *[1] * (like.ndim - 1))
