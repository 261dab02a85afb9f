"""A posterior that denoises on: samples from the base policy itself, given a_t."""

from __future__ import annotations

import attrs
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Descent
from codi_core.posteriors.base import PosteriorApproximation, PosteriorQuery, PosteriorSamples
from codi_core.samplers import ANCESTRAL, Integrator, falling_levels


@attrs.frozen
class DenoisedPosterior(PosteriorApproximation):
    """Each sample goes on from a_t to zero noise with the unguided denoiser, on its own noise.

    With many steps these are exact draws from p(a | a_t), with all its modes: the reverse-time
    SDE (Eq. 3) started at a_t ends there. Few steps draw too narrowly: one gives E[a | a_t]
    itself, without any spread. Costs ``steps`` evaluations of the denoiser on M samples.

    Attributes:
        steps: how many denoising steps; at least 2.
        sampler: takes them. Its steps must add noise, which tells the samples apart.

    Raises:
        SpecificationError: the sampler adds no noise.
    """

    steps: int = attrs.field(default=4, validator=attrs.validators.ge(2))
    sampler: Integrator = ANCESTRAL

    def __attrs_post_init__(self) -> None:
        if not self.sampler.stochastic:
            raise SpecificationError(
                f"{self.sampler} adds no noise: all samples of the denoised posterior would be "
                "one; take one that does, such as an ancestral one"
            )

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        context = query.context
        levels = falling_levels(query.sigma, context.sigma_range[0], self.steps + 1)
        noisy = query.noisy.unsqueeze(1).expand(-1, count, -1)
        denoiser = _from_known(query, noisy)
        return PosteriorSamples(self.sampler.integrate(denoiser, noisy, Descent(levels), context))


def _from_known(query: PosteriorQuery, start: Tensor) -> Denoiser:
    """The query's denoiser, which isn't called for what it said of the common start."""

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        if noisy is start:
            return query.denoised.unsqueeze(1).expand_as(start)
        return query.denoiser(noisy, sigma)

    return denoise
