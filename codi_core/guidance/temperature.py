"""A temperature that leaves enough samples with a say: controlled by the effective sample size."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.guidance.weights import sample_weights

STEPS = 40
"""Bisections of log λ: the interval of at most 60 octaves shrinks below any rounding error."""


def least_temperature(
    cost: Tensor, temperature: float, share: float, log_weights: Tensor | None = None
) -> float | Tensor:
    """The smallest λ' ≥ λ at which the tilted weights keep a share of the samples.

    Wanted is an effective sample size 1/Σw² of at least ``share`` times that of the samples' own
    weights, which is M where they have none, and which counts the samples of finite cost only.
    It is found by bisection, for each world on its own.

    Args:
        cost: J, (B, M).
        temperature: λ, the least temperature.
        share: between 0 and 1; 0 keeps λ.
        log_weights: the samples' own log-weights (B, M), if they have any.

    Returns:
        λ' as (B, 1), or λ itself if the share is 0.
    """
    if share == 0:
        return temperature
    cost = cost.double()
    finite = torch.isfinite(cost)
    lowest = torch.where(finite, cost, torch.inf).amin(-1, keepdim=True)
    highest = torch.where(finite, cost, -torch.inf).amax(-1, keepdim=True)
    spread = torch.where(finite.any(-1, keepdim=True), highest - lowest, 0.0)
    # At 100/(1 - share) times the spread of the costs all weights are nearly equal.
    low = torch.full_like(spread, temperature)
    high = torch.maximum(spread * (100 / (1 - share)), low)
    flat = torch.where(finite, 0.0, torch.nan)
    wanted = share * sample_weights(flat, 1.0, log_weights).effective_sample_size()

    def enough(candidate: Tensor) -> Tensor:
        size = sample_weights(cost, candidate, log_weights).effective_sample_size()
        return (size >= wanted).unsqueeze(-1)

    high = torch.where(enough(low), low, high)
    for _ in range(STEPS):
        # The geometric mean, without a product that may overflow.
        middle = low.sqrt() * high.sqrt()
        fits = enough(middle)
        low, high = torch.where(fits, low, middle), torch.where(fits, middle, high)
    return high
