"""A posterior that denoises on: samples from the base policy itself, given a_t."""

from __future__ import annotations

import attrs

from codi_core.planning import Descent
from codi_core.posteriors.base import PosteriorApproximation, PosteriorQuery, PosteriorSamples
from codi_core.posteriors.denoising import ancestral_steps, falling_levels


@attrs.frozen
class DenoisedPosterior(PosteriorApproximation):
    """Each sample goes on from a_t to zero noise with the unguided denoiser, on its own noise.

    With many steps these are exact draws from p(a | a_t), with all its modes: the reverse-time
    SDE (Eq. 3) started at a_t ends there. Few steps draw too narrowly: one gives E[a | a_t]
    itself, without any spread. Costs ``steps`` evaluations of the denoiser on M samples.

    Attributes:
        steps: how many denoising steps; at least 2.
    """

    steps: int = attrs.field(default=4, validator=attrs.validators.ge(2))

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        context = query.context
        levels = falling_levels(query.sigma, context.sigma_range[0], self.steps + 1)
        # The first step starts from one point for all samples, whose denoised value is known.
        first, after = levels[0], levels[1]
        shrink = (after / first).reshape(-1, 1, 1).square()
        spread = after.reshape(-1, 1, 1) * (1 - shrink).clamp_min(0).sqrt()
        noise = context.noise.normal(count, query.noisy.shape[-1])
        middle = query.denoised + shrink[:, 0] * (query.noisy - query.denoised)
        noisy = middle.unsqueeze(1) + spread * noise
        return PosteriorSamples(
            ancestral_steps(query.denoiser, noisy, Descent(levels[1:]), context)
        )
