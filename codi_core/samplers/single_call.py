"""Samplers that call the denoiser once a noise level.

Between two levels t > t' each draws a_t' = D + r (a_t - D) + s ε. They differ in the ratio r, in
the noise s, and in what they take for D between the levels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.planning import Denoiser, Descent, NoiseSource, PlanContext
from codi_core.samplers.base import Integrator, level_column
from codi_core.samplers.schedules import KarrasSchedule, Schedule


@attrs.frozen
class Visit:
    """A noise level on the way, and what the denoiser said there.

    Attributes:
        noisy: a_t, (B, ..., D).
        denoised: D(a_t, t), (B, ..., D).
        sigma: t, (1, ..., 1) or (B, ..., 1).
    """

    noisy: Tensor
    denoised: Tensor
    sigma: Tensor


class SingleCallSampler(Integrator):
    """Steps from level to level with one call of the denoiser for each.

    The step to zero ends in the denoised chunk.
    """

    @abstractmethod
    def step(self, now: Visit, before: Visit | None, after: Tensor, noise: NoiseSource) -> Tensor:
        """The noisy chunks a_t' at the next level, (B, ..., D).

        Args:
            now: the present level t.
            before: the level before it; None at the first one.
            after: t' > 0, of the same shape as ``now.sigma``.
            noise: the plan's.
        """

    def integrate(
        self, denoiser: Denoiser, noisy: Tensor, descent: Descent, context: PlanContext
    ) -> Tensor:
        """Integrate from a_t to a noise-free chunk, with any axes between worlds and values."""
        denoised = noisy
        for visit in self.visits(denoiser, noisy, descent, context.noise):
            denoised = visit.denoised
        return denoised

    def visits(
        self, denoiser: Denoiser, noisy: Tensor, descent: Descent, noise: NoiseSource
    ) -> Iterator[Visit]:
        """Integrate as :meth:`integrate` does, and yield each noise level on the way.

        The denoised chunk of the last one is the result.
        """
        before: Visit | None = None
        for sigma in descent:
            now = Visit(noisy, denoiser(noisy, sigma), level_column(sigma, noisy))
            after = descent.after()
            yield now
            if descent.ended:
                break
            noisy = self.step(now, before, level_column(after, noisy), noise)
            before = now


@attrs.frozen
class AncestralSampler(SingleCallSampler):
    """Samples each next level from q(a_next | a_t, a = D(a_t)), as DDPM does.

    In the variance-exploding notation of Eq. 2 this is
    a_next = D + (t'/t)² (a_t - D) + t' √(1 - (t'/t)²) ε. It is exact for a distribution
    concentrated in one point, and converges to Eq. 11 as the steps become small. With few steps
    its samples are too narrow.

    Attributes:
        schedule: the noise levels.
    """

    stochastic = True
    schedule: Schedule = attrs.field(factory=KarrasSchedule)

    def step(self, now: Visit, before: Visit | None, after: Tensor, noise: NoiseSource) -> Tensor:
        """The noisy chunks at the next level, (B, ..., D)."""
        shrink = (after / now.sigma).square()
        spread = after * (1 - shrink).clamp_min(0).sqrt()
        return _drawn(now, now.denoised, shrink, spread, noise)


@attrs.frozen
class CalibratedSampler(SingleCallSampler):
    """Ancestral steps with the reverse variance of Gaussian data instead of that of a point.

    The noise-free chunk is not taken to be D(a_t), but drawn from N(D, v I) with the variance
    v = t²σ_d²/(t²+σ_d²) of :class:`~codi_core.posteriors.MatchedPosterior`. A step's noise then has
    the variance (1 - (t'/t)²) t'² + (1 - (t'/t)²)² v, where :class:`AncestralSampler` has the first
    term alone; Ho et al. (2020, Sec. 3.2) call these two choices the extremes. Steps of any length
    are exact for data with the distribution N(μ, σ_d² I). Data of a smaller variance given a_t get
    too much noise, which later steps remove.

    Attributes:
        schedule: the noise levels.
        sigma_data: σ_d, the data's standard deviation in normalised units.
    """

    stochastic = True
    schedule: Schedule = attrs.field(factory=KarrasSchedule)
    sigma_data: float = attrs.field(default=1.0, validator=validators.gt(0))

    def step(self, now: Visit, before: Visit | None, after: Tensor, noise: NoiseSource) -> Tensor:
        """The noisy chunks at the next level, (B, ..., D)."""
        shrink = (after / now.sigma).square()
        # Of the posterior's variance the form that neither a huge nor a tiny σ_d overflows.
        posterior = now.sigma / (1 + (now.sigma / self.sigma_data).square()).sqrt()
        rest = (1 - shrink).clamp_min(0)
        spread = (rest * (after.square() + rest * posterior.square())).sqrt()
        return _drawn(now, now.denoised, shrink, spread, noise)


@attrs.frozen
class EulerMaruyamaSampler(SingleCallSampler):
    """Euler-Maruyama steps of Eq. 11, in the variance u = t².

    With du = 2t dt, Eq. 11 reads da = -s du + dw_u: the diffusion is constant in u, so each
    step adds noise of exactly the variance t² - t'² that the SDE adds.

    Attributes:
        schedule: the noise levels.
    """

    stochastic = True
    schedule: Schedule = attrs.field(factory=KarrasSchedule)

    def step(self, now: Visit, before: Visit | None, after: Tensor, noise: NoiseSource) -> Tensor:
        """The noisy chunks at the next level, (B, ..., D)."""
        shrink = (after / now.sigma).square()
        variance = (now.sigma.square() - after.square()).clamp_min(0)
        return _drawn(now, now.denoised, shrink, variance.sqrt(), noise)


@attrs.frozen
class DpmSolverSampler(SingleCallSampler):
    """DPM-Solver++ 2M (Lu et al., 2022, Algorithm 2): multistep, of second order.

    Solves the probability-flow ODE in ln t with D on the line through its values at this level and
    the last one, and so gets a second order out of one call a step. For constant D any step is
    exact. Its SDE form adds noise: ``eta`` = 0 is the ODE, 1 the SDE of Eq. 11, and its first step
    is then an ancestral one.

    Attributes:
        schedule: the noise levels.
        eta: η between 0 and 1; a step keeps (t'/t)^(1+η) of a_t - D, and adds noise of the variance
            t'² (1 - (t'/t)^2η).
    """

    schedule: Schedule = attrs.field(factory=KarrasSchedule)
    eta: float = attrs.field(default=0.0, validator=[validators.ge(0), validators.le(1)])
    stochastic: bool = attrs.field(init=False, repr=False)

    @stochastic.default
    def _adds_noise(self) -> bool:
        return self.eta > 0

    def step(self, now: Visit, before: Visit | None, after: Tensor, noise: NoiseSource) -> Tensor:
        """The noisy chunks at the next level, (B, ..., D)."""
        ratio = after / now.sigma
        shrink, centre = ratio ** (1 + self.eta), _extrapolated(now, before, after)
        if not self.stochastic:
            return centre + shrink * (now.noisy - centre)
        spread = after * (1 - ratio ** (2 * self.eta)).clamp_min(0).sqrt()
        return _drawn(now, centre, shrink, spread, noise)


def _drawn(
    now: Visit, centre: Tensor, shrink: Tensor, spread: Tensor, noise: NoiseSource
) -> Tensor:
    fresh = noise.normal(*now.noisy.shape[1:])
    return centre + shrink * (now.noisy - centre) + spread * fresh


def _extrapolated(now: Visit, before: Visit | None, after: Tensor) -> Tensor:
    """D in the middle of the step, on the line in ln t through its last two values."""
    if before is None:
        return now.denoised
    ahead, behind = (now.sigma / after).log(), (before.sigma / now.sigma).log()
    # Levels may repeat. No further than the last step went: where a deadline leaves levels out,
    # the line would lead anywhere.
    reach = torch.where(behind > 0, ahead / (2 * behind), 0.0).clamp_max(1.0)
    return now.denoised + reach * (now.denoised - before.denoised)
