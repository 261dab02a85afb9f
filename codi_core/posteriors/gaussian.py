"""Gaussian posteriors around Tweedie's mean with an isotropic covariance (Eq. 16)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.posteriors.base import PosteriorApproximation, PosteriorQuery, PosteriorSamples


def _draw_isotropic(query: PosteriorQuery, std: Tensor, count: int) -> PosteriorSamples:
    noise = query.context.noise.normal(count, query.noisy.shape[-1])
    return PosteriorSamples(torch.addcmul(query.denoised.unsqueeze(1), noise, std))


@attrs.frozen
class IsotropicPosterior(PosteriorApproximation):
    """N(E[a | a_t], t² I): Eq. 16 without its Jacobian term, as the paper uses it.

    Leaving out t⁴∇s is justified for t well below the spread of the data only. Above that the
    draws are too broad, which acts as a search.
    """

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        return _draw_isotropic(query, query.sigma_column(), count)


@attrs.frozen
class MatchedPosterior(PosteriorApproximation):
    """N(E[a | a_t], t²σ_d²/(t²+σ_d²) I): exact for data that is N(0, σ_d² I).

    Attributes:
        sigma_data: σ_d, the data's standard deviation in normalised units.
    """

    sigma_data: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        sigma = query.sigma_column()
        # Of the variance's two forms the one that neither a huge nor a tiny σ_d overflows.
        std = sigma / torch.sqrt(1 + (sigma / self.sigma_data) ** 2)
        return _draw_isotropic(query, std, count)
