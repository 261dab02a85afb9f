"""Chunks and their costs, as batches for the training of a cost model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_baselines.cost_model.losses import CostBatch


@attrs.frozen(eq=False)
class CostExamples:
    """S states with m chunks each; a source of batches, drawn with replacement.

    Attributes:
        conditioning: what the factors observe, (S, C), physical units.
        chunks: from states (n,) to their flat joint chunks, normalised, (n, m, D).
        costs: J of each chunk, finite, (S, m).
        states: those that are drawn from, (n,).
    """

    conditioning: Tensor
    chunks: Callable[[Tensor], Tensor]
    costs: Tensor
    states: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def sample(self, generator: torch.Generator, size: int) -> CostBatch:
        """A batch of ``size`` states."""
        drawn = torch.randint(len(self), (size,), generator=generator, device=generator.device)
        states = self.states[drawn]
        return CostBatch(self.conditioning[states], self.chunks(states), self.costs[states])

    def state(self) -> dict[str, Any]:
        """Nothing: what is drawn depends on the generator alone."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


def finite_costs(costs: Tensor) -> tuple[Tensor, Tensor]:
    """Costs that can be learnt, and the states whose costs have a value.

    Chunks that the predictor calls impossible, J = +inf, cost as much as the worst possible one.

    Args:
        costs: (S, m); NaN, or -inf, where the cost has no value.

    Returns:
        The costs (S, m), finite in the states (n,).
    """
    known = (costs > -torch.inf).all(-1)
    possible = costs[torch.isfinite(costs)]
    worst = possible.amax() if len(possible) else torch.zeros(())
    return costs.clamp_max(worst), known.nonzero().squeeze(-1)
