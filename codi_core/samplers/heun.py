"""Heun's method for the probability-flow ODE."""

from __future__ import annotations

import attrs
from torch import Tensor

from codi_core.planning import Denoiser, Descent, PlanContext
from codi_core.samplers.base import Integrator, level_column
from codi_core.samplers.schedules import KarrasSchedule, Schedule


@attrs.frozen
class HeunSampler(Integrator):
    """Heun steps of the probability-flow ODE: Algorithm 1 of Karras et al. (2022) without churn.

    Of second order, with two calls of the denoiser for each level but the last one. It is the
    method to check others with; long steps overshoot.

    Attributes:
        schedule: the noise levels.
    """

    stochastic = False
    schedule: Schedule = attrs.field(factory=KarrasSchedule)

    def integrate(
        self, denoiser: Denoiser, noisy: Tensor, descent: Descent, context: PlanContext
    ) -> Tensor:
        """Integrate from a_t to a noise-free chunk, with any axes between worlds and values."""
        denoised = noisy
        for sigma in descent:
            denoised = denoiser(noisy, sigma)
            after = descent.after()
            if descent.ended:
                break
            ratio = level_column(after / sigma, noisy)
            euler = denoised + ratio * (noisy - denoised)
            # The mean of the slopes (a - D)/t at both ends, in terms of what the second one adds.
            noisy = euler + 0.5 * (1 / ratio - 1) * (denoiser(euler, after) - denoised)
        return denoised
