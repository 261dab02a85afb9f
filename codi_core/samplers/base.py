"""The interface of samplers: they integrate the reverse-time SDE, Eq. 11."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs
from torch import Tensor

from codi_core.planning import Denoiser, Descent, PlanContext
from codi_core.samplers.schedules import KarrasSchedule, Schedule


class Sampler(ABC):
    """Draws one sample per world from the distribution that a denoiser belongs to.

    A plan with a deadline wants it by then, from fewer denoising steps if there is no time for all:
    :class:`~codi_core.planning.Descent` chooses them.
    """

    schedule: Schedule

    @abstractmethod
    def sample(self, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
        """Integrate from pure noise to a flat joint chunk, (B, size).

        Args:
            denoiser: D(a_t, sigma) of the distribution that is sampled.
            size: D, the number of values in a flat joint chunk.
            context: the plan that is being made.
        """


@attrs.frozen
class AncestralSampler(Sampler):
    """Samples each next level from q(a_next | a_t, a = D(a_t)), as DDPM does.

    In the variance-exploding notation of Eq. 2 this is
    a_next = D + (t'/t)² (a_t - D) + t' √(1 - (t'/t)²) ε. It is exact for a distribution
    concentrated in one point, and converges to Eq. 11 as the steps become small.

    Attributes:
        schedule: the noise levels.
    """

    schedule: Schedule = attrs.field(factory=KarrasSchedule)

    def sample(self, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
        """Integrate from pure noise to a flat joint chunk, (B, size)."""
        levels = self.schedule.levels(context.noise.device)
        noisy = levels[0] * context.noise.normal(size)
        descent = Descent(levels, context)
        for sigma in descent:
            denoised = denoiser(noisy, sigma)
            after = descent.after()
            shrink = (after / sigma).square()
            noisy = denoised + shrink * (noisy - denoised)
            if after > 0:
                noisy = noisy + after * (1 - shrink).sqrt() * context.noise.normal(size)
        return noisy


@attrs.frozen
class EulerMaruyamaSampler(Sampler):
    """Euler-Maruyama steps of Eq. 11, in the variance u = t².

    With du = 2t dt, Eq. 11 reads da = -s du + dw_u: the diffusion is constant in u, so each
    step adds noise of exactly the variance t² - t'² that the SDE adds. The step to t = 0 is
    taken without noise and ends in the denoised chunk.

    Attributes:
        schedule: the noise levels.
    """

    schedule: Schedule = attrs.field(factory=KarrasSchedule)

    def sample(self, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
        """Integrate from pure noise to a flat joint chunk, (B, size)."""
        levels = self.schedule.levels(context.noise.device)
        noisy = levels[0] * context.noise.normal(size)
        descent = Descent(levels, context)
        for sigma in descent:
            score = (denoiser(noisy, sigma) - noisy) / sigma.square()
            after = descent.after()
            variance = sigma.square() - after.square()
            noisy = noisy + variance * score
            if after > 0:
                noisy = noisy + variance.sqrt() * context.noise.normal(size)
        return noisy
