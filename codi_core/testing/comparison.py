"""Distances between two sets of samples, and between samples and a known distribution."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.testing.mixtures import GaussianMixture
from codi_core.training.likeness import energy_distance as energy_distance


def sliced_wasserstein(
    first: Tensor,
    second: Tensor,
    projections: int = 128,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The root mean square of W₂ along random directions; () from (n, D) and (m, D)."""
    size = first.shape[-1]
    directions = torch.randn(size, projections, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=0)
    count = max(len(first), len(second))
    # Quantiles at mid-ranks make sets of different sizes comparable.
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    difference = _quantiles(first.double() @ directions, levels) - _quantiles(
        second.double() @ directions, levels
    )
    return difference.square().mean().sqrt()


def mode_shares(samples: Tensor, mixture: GaussianMixture, sigma: float = 1e-2) -> Tensor:
    """The share of the samples (n, D) that each component is responsible for, (C,).

    Args:
        samples: from any distribution.
        mixture: names the modes.
        sigma: a little noise, so that a point beside a low-rank component still belongs to one.
    """
    return mixture.responsibilities(samples.double(), sigma).mean(0)


def total_variation(first: Tensor, second: Tensor) -> Tensor:
    """½ Σ |p - q| of two sets of weights (…, C), between 0 and 1, (…)."""
    return 0.5 * (first - second).abs().sum(-1)


def _quantiles(values: Tensor, levels: Tensor) -> Tensor:
    ordered = values.sort(0).values
    position = levels * len(ordered)
    return ordered[position.long().clamp_max(len(ordered) - 1)]
