"""Costs that tilt a Gaussian mixture into another one, on a pass-through predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.predictors import Prediction, Predictor
from codi_core.testing.mixtures import GaussianMixture, lead


class PassThroughPredictor(Predictor):
    """Foresees nothing: the trajectory is the joint chunk itself.

    It is the physical joint chunk, flattened agent by agent: (B, M, D). With one agent per factor,
    in order, and identity normalisers that is also the flat joint chunk that is diffused.
    """

    def predict(self, state: Any, chunks: tuple[Tensor, ...]) -> Prediction:
        """Flatten the chunks (B, M, K, A_i) and join them."""
        return Prediction(torch.cat([chunk.flatten(-2) for chunk in chunks], -1))


@attrs.frozen(eq=False)
class QuadraticCost(CostFunction):
    """J(a) = ½‖L a - y‖² + b·a + k, evaluated in the precision of its parameters.

    Attributes:
        rows: L, (Q, D); Q = 0 leaves a linear cost.
        target: y, (Q,) or one per world, (B, Q).
        slope: b, (D,) or one per world, (B, D).
        constant: k.
    """

    rows: Tensor
    target: Tensor
    slope: Tensor
    constant: float = 0.0

    def __call__(self, trajectory: Tensor) -> Tensor:
        """The cost of flat joint chunks, from (…, D) to (…)."""
        flat = trajectory.to(self.rows)
        miss = flat @ self.rows.mT - lead(self.target, 1, flat.ndim - 1)
        linear = (flat * lead(self.slope, 1, flat.ndim - 1)).sum(-1)
        return 0.5 * miss.square().sum(-1) + linear + self.constant

    def expectation(self, mixture: GaussianMixture) -> Tensor:
        """E[J] under a mixture, in closed form, (…)."""
        axes = max(len(mixture.batch), self.target.ndim - 1, self.slope.ndim - 1)
        means = lead(mixture.means, 2, axes)
        target = lead(self.target, 1, axes).unsqueeze(-2)
        miss = means @ self.rows.mT - target
        linear = (means * lead(self.slope, 1, axes).unsqueeze(-2)).sum(-1)
        turned = self.rows @ lead(mixture.basis, 3, axes)
        spread = (turned.square() * lead(mixture.variances, 2, axes).unsqueeze(-2)).sum((-2, -1))
        value = 0.5 * miss.square().sum(-1) + linear + 0.5 * spread
        return (lead(mixture.log_weights, 1, axes).exp() * value).sum(-1) + self.constant

    def pulled_back(self, scale: Tensor, offset: Tensor) -> QuadraticCost:
        """The same cost as a function of x where a = scale · x + offset, (D,) each."""
        return QuadraticCost(
            self.rows * scale,
            self.target - self.rows @ offset,
            self.slope * scale,
            self.constant + float(self.slope @ offset),
        )

    def plus(self, other: QuadraticCost) -> QuadraticCost:
        """The sum of two costs."""
        return QuadraticCost(
            torch.cat([self.rows, other.rows]),
            torch.cat([self.target, other.target], -1),
            self.slope + other.slope,
            self.constant + other.constant,
        )


def quadratic_cost(rows: Tensor, target: Tensor) -> QuadraticCost:
    """½‖L a - y‖²."""
    return QuadraticCost(rows, target, rows.new_zeros(rows.shape[1]))


def linear_cost(slope: Tensor, constant: float = 0.0) -> QuadraticCost:
    """b·a + k."""
    empty = slope.new_zeros(0, slope.shape[-1])
    return QuadraticCost(empty, slope.new_zeros(0), slope, constant)


def coupling_cost(agents: int, readout: Tensor, stiffness: float = 1.0) -> QuadraticCost:
    """½ k Σ_i ‖C a^(i) - C a^(i+1)‖²: neighbouring agents agree on what C reads from a chunk.

    Args:
        agents: N.
        readout: C, (q, K·A), the same for each agent.
        stiffness: k.
    """
    difference = torch.eye(agents, dtype=readout.dtype).diff(dim=0)
    rows = stiffness**0.5 * torch.kron(difference, readout)
    return quadratic_cost(rows, rows.new_zeros(rows.shape[0]))


def block_cost(costs: Sequence[QuadraticCost]) -> QuadraticCost:
    """The sum of costs that each read their own block of columns, in order."""
    rows: Tensor = torch.block_diag(*(cost.rows for cost in costs))  # type: ignore[no-untyped-call]
    return QuadraticCost(
        rows,
        torch.cat([cost.target for cost in costs], -1),
        torch.cat([cost.slope for cost in costs], -1),
        sum(cost.constant for cost in costs),
    )
