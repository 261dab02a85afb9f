"""The exact moments of what a sampler draws, without Monte Carlo.

With an affine denoiser (Gaussian data), a sampler's result is an affine function of its noise,
x = c + Fᵀ ε. Feeding it no noise shows c, feeding it one unit impulse after another shows F, and
its results then have mean c and covariance FᵀF. All impulses run as one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import attrs
import torch
from torch import Tensor

from codi_core.planning import ChunkLayout, Denoiser, NoiseSource, PlanContext
from codi_core.samplers import Sampler


class ImpulseNoise:
    """Stands in for a noise source: world j has a one as its j-th value, and zeros elsewhere.

    Args:
        impulses: how many values are drawn at most; one more world has no noise at all.
    """

    def __init__(self, impulses: int) -> None:
        self.device = torch.device("cpu")
        self.worlds = impulses + 1
        self._drawn = 0

    def normal(self, *shape: int) -> Tensor:
        """The next values of every world, (impulses + 1, *shape), float64.

        Raises:
            ValueError: more values are drawn than there are impulses.
        """
        count = math.prod(shape)
        if self._drawn + count > self.worlds - 1:
            raise ValueError(f"more than {self.worlds - 1} noise values were drawn")
        values = torch.zeros(self.worlds, count, dtype=torch.float64)
        values[torch.arange(count) + self._drawn, torch.arange(count)] = 1.0
        self._drawn += count
        return values.reshape(self.worlds, *shape)


@attrs.frozen(eq=False)
class Moments:
    """Mean (D,) and covariance (D, D)."""

    mean: Tensor
    covariance: Tensor


def propagate(run: Callable[[PlanContext], Tensor], context: PlanContext, impulses: int) -> Moments:
    """The moments of an affine function of noise.

    Args:
        run: from a context to flat joint chunks (B, D); it may use ``context.noise.normal`` only,
            and must be affine in it.
        context: what the run is given, but for its noise.
        impulses: at least as many as the noise values that it draws for a world.
    """
    noise = cast(NoiseSource, ImpulseNoise(impulses))
    result = run(attrs.evolve(context, noise=noise)).double()
    response = result[:-1] - result[-1:]
    return Moments(result[-1], response.mT @ response)


def sampler_moments(sampler: Sampler, denoiser: Denoiser, size: int) -> Moments:
    """The moments of what a sampler draws with an affine denoiser of D = ``size`` values."""
    impulses = size * (sampler.schedule.steps + 1)
    context = PlanContext(NoiseSource([]), {}, plain_layout(size))
    return propagate(lambda context: sampler.sample(denoiser, size, context), context, impulses)


def plain_layout(size: int, horizon: int = 1) -> ChunkLayout:
    """The layout of one agent's chunks of D = ``size`` values."""
    return ChunkLayout(((0,),), (slice(0, size),), (size // horizon,), horizon)


def reverse_sde_moments(mean: Tensor, covariance: Tensor, start: float, end: float) -> Moments:
    """The exact moments at noise level ``end`` of Eq. 11 for Gaussian data.

    The SDE starts in N(0, start² I), as samplers do, and not in the data's own distribution at
    that level; the difference remains, however small the steps.

    Args:
        mean: of the data, (D,).
        covariance: of the data, (D, D).
        start: T.
        end: the noise level at which the SDE is stopped.
    """
    identity = torch.eye(len(mean), dtype=mean.dtype)
    noisy = covariance + end**2 * identity
    gain = torch.linalg.solve(covariance + start**2 * identity, noisy).mT
    spread = noisy - gain @ noisy + start**2 * gain @ gain.mT
    return Moments(mean - gain @ mean, spread)
