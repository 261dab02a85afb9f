"""The weights that a cost gives to samples, Eq. 18-19."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.resources import can_branch_on


@attrs.frozen
class SampleWeights:
    """Two normalised sets of weights over M samples, float64, (B, M) each.

    Attributes:
        tilted: proportional to exp(-J/λ) times the samples' own weights.
        plain: proportional to the samples' own weights.
        usable: (B,) booleans; False where no sample has a finite weight. Both sets of weights
            are zero there, so that guidance adds nothing.
    """

    tilted: Tensor
    plain: Tensor
    usable: Tensor

    def difference(self) -> Tensor:
        """tilted - plain = w_codi / M of Eq. 18: it sums to zero in each world."""
        return self.tilted - self.plain

    def effective_sample_size(self) -> Tensor:
        """1 / Σ w², between 1 and M, (B,); 0 where no sample is usable."""
        return torch.where(self.usable, 1.0 / self.tilted.square().sum(-1).clamp_min(1e-300), 0.0)


def finite_mean(cost: Tensor) -> Tensor:
    """The mean of the finite costs (B, M) of each world, (B,); 0 where there is none."""
    mean = cost.mean(-1)
    if can_branch_on(mean) and bool(torch.isfinite(mean).all()):
        return mean
    finite = torch.isfinite(cost)
    return torch.where(finite, cost, 0.0).sum(-1) / finite.sum(-1).clamp_min(1)


def sample_weights(
    cost: Tensor, temperature: float | Tensor, log_weights: Tensor | None = None
) -> SampleWeights:
    """Weigh samples by exp(-J/λ) (Eq. 18-19), safely for any finite or infinite cost.

    Args:
        cost: J, (B, M). NaN and -inf lose the sample: it enters neither set of weights. +inf
            forbids it: its tilted weight is zero.
        temperature: λ > 0, a number or (B, 1).
        log_weights: the samples' own log-weights (B, M), if they have any. One that is not
            finite loses the sample.
    """
    cost = cost.double()
    if log_weights is None and can_branch_on(cost) and bool(torch.isfinite(cost).all()):
        return _all_usable(cost, temperature)
    given = torch.zeros_like(cost) if log_weights is None else log_weights.double()
    kept = ~torch.isnan(cost) & (cost > -torch.inf) & torch.isfinite(given)
    finite = kept & torch.isfinite(cost)
    # Only differences of costs matter; taking the minimum off first keeps them exact.
    lowest = torch.where(finite, cost, torch.inf).amin(-1, keepdim=True)
    excess = torch.where(finite, cost - lowest, torch.inf)
    usable = finite.any(-1)
    tilted = _normalised(given - excess / temperature, finite)
    plain = _normalised(given, kept) * usable.unsqueeze(-1)
    return SampleWeights(tilted, plain, usable)


def _all_usable(cost: Tensor, temperature: float | Tensor) -> SampleWeights:
    """The usual case, in a quarter of the operations: finite costs and equal own weights.

    Bit for bit what the general case gives: which of them it is depends on all worlds of a batch.
    """
    lowest = cost.amin(-1, keepdim=True)
    tilted = torch.softmax((lowest - cost) / temperature, -1)
    plain = torch.full_like(cost, 1 / cost.shape[-1])
    return SampleWeights(tilted, plain, torch.ones_like(lowest[..., 0], dtype=torch.bool))


def _normalised(logits: Tensor, mask: Tensor) -> Tensor:
    """The softmax over what the mask leaves; zeros for a world that has nothing left."""
    weights = torch.softmax(torch.where(mask, logits, -torch.inf), -1)
    return torch.where(mask.any(-1, keepdim=True), weights, 0.0)
