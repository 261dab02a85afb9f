"""Parts of the composition that use the exact distributions: bounds for every estimator."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.guidance import Guidance
from codi_core.planning import Denoiser, Evaluate, PlanContext
from codi_core.policies import ProductPolicy
from codi_core.posteriors import PosteriorApproximation, PosteriorQuery, PosteriorSamples
from codi_core.testing.oracle import FactoredOracle, Oracle
from codi_core.testing.policies import conditioned_parts


@attrs.frozen(eq=False)
class ExactPosterior(PosteriorApproximation):
    """Independent draws from p^{1:N}(a | a_t, s) itself.

    Attributes:
        product: a product of mixture policies.
    """

    product: ProductPolicy

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        noise = query.context.noise
        choices = noise.uniform(len(self.product.factors), count)
        normal = noise.normal(count, self.product.size)
        parts = conditioned_parts(self.product, query.context.observation)
        draws = [
            part.posterior(query.noisy[:, block], query.sigma).transform(
                choices[:, index], normal[..., block]
            )
            for index, (part, block) in enumerate(zip(parts, self.product.blocks, strict=True))
        ]
        return PosteriorSamples(torch.cat(draws, -1).to(query.noisy.dtype))


@attrs.frozen(eq=False)
class ExactGuidance(Guidance):
    """Adds t² g^J (Eq. 12), known from an oracle. It never evaluates the cost.

    Attributes:
        oracle: for the same product policy, cost and temperature.
    """

    oracle: Oracle | FactoredOracle

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser of π, where ``denoiser`` is that of the product policy."""

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            return denoiser(noisy, sigma) + self.oracle.shift(noisy, sigma)

        return guided
