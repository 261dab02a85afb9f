"""Samples of a diffusion policy in few calls, for policies that are trained on what they sample."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.planning import Denoiser, Descent, PlanContext
from codi_core.samplers import KarrasSchedule, Sampler, Schedule

EQUAL_RATIOS = 1e3
"""A ``rho`` so large that a Karras schedule's levels are in equal ratios: then the samples of a
unit Gaussian have its standard deviation up to 3 % in 6 to 10 calls."""


@attrs.frozen
class MultistepSampler(Sampler):
    """DPM-Solver++(2M) of Lu et al. (2022): second order, with one call a level.

    It follows the probability flow, so its samples keep their variance in six or eight calls.
    Ancestral steps lose half of it, and a policy that learns from its own samples would lose it
    again and again.

    Attributes:
        schedule: the noise levels.
    """

    schedule: Schedule = attrs.field(factory=KarrasSchedule)

    def sample(self, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
        """Integrate from pure noise to a flat joint chunk, (B, size)."""
        levels = self.schedule.levels(context.noise.device)
        noisy = levels[0] * context.noise.normal(size)
        descent, before = Descent(levels, context), None
        for sigma in descent:
            denoised = denoiser(noisy, sigma)
            after = descent.after()
            ahead = denoised
            if before is not None and after > 0:
                # The denoiser's answer is extrapolated along log sigma, to the middle of the step.
                last, earlier = before
                ratio = torch.log(sigma / after) / (2 * torch.log(earlier / sigma))
                ahead = denoised + ratio * (denoised - last)
            noisy = ahead + (after / sigma) * (noisy - ahead)
            before = (denoised, sigma)
        return noisy
