"""A Gaussian posterior whose draws are smooth in time."""

from __future__ import annotations

from functools import lru_cache

import attrs
import torch
from torch import Tensor

from codi_core.planning import PlanContext
from codi_core.posteriors.base import PosteriorApproximation, PosteriorQuery, PosteriorSamples


@attrs.frozen
class CorrelatedPosterior(PosteriorApproximation):
    """N(E[a | a_t], s² R) with s² = t²σ_d²/(t²+σ_d²) and R_kl = exp(-|k - l|/τ) for steps k and l.

    Each value has the variance that :class:`MatchedPosterior` gives it, but draws stay on one side
    of the mean for a while. White noise on commands averages out over a chunk and hardly moves a
    robot; these draws go somewhere, so far fewer of them find what a cost asks for. It is broader
    than the true posterior in slow directions, and so a search as the printed one is.

    Attributes:
        steps: τ, over how many control steps actions stay alike.
        sigma_data: σ_d, the data's standard deviation in normalised units.
    """

    steps: float = attrs.field(default=6.0, validator=attrs.validators.gt(0))
    sigma_data: float = attrs.field(default=1.0, validator=attrs.validators.gt(0))

    def draw(self, query: PosteriorQuery, count: int) -> PosteriorSamples:
        """Draw ``count`` samples per world."""
        size = query.noisy.shape[-1]
        noise = query.context.noise.normal(count, size)
        blocks = query.context.layout.blocks
        widths = [block.stop - block.start for block in blocks]
        roots = {width: self._root(width, query.context, noise) for width in set(widths)}
        if len(roots) == 1:
            rows = torch.unflatten(noise, -1, (len(blocks), widths[0]))
            smooth = (rows @ roots[widths[0]]).view_as(noise)
        else:
            parts = zip(blocks, widths, strict=True)
            smooth = torch.cat([noise[..., block] @ roots[width] for block, width in parts], -1)
        sigma = query.sigma_column() if query.sigma.ndim else query.sigma
        # Of the variance's two forms the one that neither a huge nor a tiny σ_d overflows.
        std = sigma / torch.sqrt(1 + (sigma / self.sigma_data) ** 2)
        return PosteriorSamples(torch.addcmul(query.denoised.unsqueeze(1), smooth, std))

    def _root(self, width: int, context: PlanContext, like: Tensor) -> Tensor:
        """The symmetric root of R for each value of an action on its own, (width, width)."""
        horizon = context.layout.horizon
        return _correlated_root(self.steps, horizon, width // horizon, like.dtype, like.device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # it outlives the plan that asks first
def _correlated_root(
    steps: float, horizon: int, values: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """The symmetric root of R for that many values in each action, made on the CPU."""
    at = torch.arange(horizon, dtype=torch.float64)
    gap = (at.unsqueeze(0) - at.unsqueeze(1)).abs()
    squares, vectors = torch.linalg.eigh(torch.exp(-gap / steps))
    root = (vectors * squares.clamp_min(0).sqrt()) @ vectors.mT
    return torch.kron(root, torch.eye(values, dtype=torch.float64)).to(device, dtype)
