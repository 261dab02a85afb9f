"""The interfaces of samplers: they integrate Eq. 11, or the ODE with the same marginals."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from codi_core.planning import Denoiser, Descent, PlanContext
from codi_core.planning.checks import Calling, check_values
from codi_core.samplers.schedules import Schedule


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


class Integrator(Sampler):
    """A sampler that can begin anywhere: it integrates along whatever noise levels it is given.

    So its steps serve warm starts, and parts that draw samples of their own.

    Attributes:
        stochastic: whether its steps add noise, so that copies of one a_t part.
    """

    stochastic: bool

    @abstractmethod
    def integrate(
        self, denoiser: Denoiser, noisy: Tensor, descent: Descent, context: PlanContext
    ) -> Tensor:
        """Integrate from a_t to a noise-free chunk, with any axes between worlds and values.

        Args:
            denoiser: D(a_t, sigma), from (B, ..., D) to (B, ..., D).
            noisy: a_t at the first level, (B, ..., D).
            descent: along the levels, which may be one per world. The sampler's own schedule is
                not used.
            context: has the noise.
        """

    def sample(self, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
        """Integrate from pure noise along the schedule to a flat joint chunk, (B, size)."""
        levels = self.schedule.levels(context.noise.device)
        noisy = levels[0] * context.noise.normal(size)
        return self.integrate(denoiser, noisy, Descent(levels, context), context)


def sample_checked(sampler: Sampler, denoiser: Denoiser, size: int, context: PlanContext) -> Tensor:
    """What a sampler draws, with a look at its shape: for planners, whoever's sampler it is.

    Raises:
        SpecificationError: it is no chunk of ``size`` values per world.
        PartError: the sampler raised.
    """
    with Calling(sampler, ".sample()"):
        flat = sampler.sample(denoiser, size, context)
    shape, device = (context.worlds, size), context.noise.device
    check_values(flat, shape, sampler, ".sample() returned chunks", device)
    return flat


def level_column(level: Tensor, like: Tensor) -> Tensor:
    """A noise level, () or (B,), with trailing axes so that it broadcasts against (B, ..., D)."""
    return level.reshape(-1, *[1] * (like.ndim - 1))
