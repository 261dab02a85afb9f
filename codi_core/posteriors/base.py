"""The interface of approximations of p(a | a_t), the posterior over noise-free chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod

import attrs
from torch import Tensor

from codi_core.planning import Denoiser, PlanContext
from codi_core.planning.checks import Calling, check_kind, check_values


@attrs.frozen
class PosteriorQuery:
    """Where the posterior is wanted.

    Attributes:
        noisy: a_t, flat joint chunks, (B, D).
        sigma: the noise level t, () or (B,).
        denoised: E[a | a_t], the posterior's mean (Eq. 16), (B, D).
        denoiser: the unguided denoiser, for approximations that need more than the mean.
        context: the plan that asks; it has the noise streams and the layout of chunks.
    """

    noisy: Tensor
    sigma: Tensor
    denoised: Tensor
    denoiser: Denoiser
    context: PlanContext

    def sigma_column(self) -> Tensor:
        """The noise level with trailing axes, so that it broadcasts against (B, M, D)."""
        return self.sigma.reshape(-1, 1, 1)


@attrs.frozen
class PosteriorSamples:
    """Draws from an approximation of the posterior.

    Attributes:
        samples: (B, M, D).
        log_weights: (B, M), log p/q up to a constant where the draws come from another density
            q; None says equal weights.
    """

    samples: Tensor
    log_weights: Tensor | None = None


class PosteriorApproximation(ABC):
    """Draws noise-free chunks a ~ p(a | a_t, s, t)."""

    @abstractmethod
    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""


def draw_checked(
    posterior: PosteriorApproximation, query: PosteriorQuery, count: int
) -> PosteriorSamples:
    """What a posterior draws, with a look at its shapes: for guidances, whoever's posterior it is.

    Raises:
        SpecificationError: it drew something else than ``count`` samples per world.
        PartError: it raised.
    """
    with Calling(posterior, ".draw()"):
        drawn = posterior.draw(query, count)
    check_kind(drawn, PosteriorSamples, posterior, ".draw()")
    worlds, size = query.noisy.shape
    device = query.noisy.device
    shape = (worlds, count, size)
    check_values(drawn.samples, shape, posterior, ".draw() returned samples", device)
    if drawn.log_weights is not None:
        what = ".draw() returned log-weights"
        check_values(drawn.log_weights, shape[:2], posterior, what, device, finite=False)
    return drawn
