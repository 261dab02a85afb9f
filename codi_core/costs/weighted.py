"""A weighted sum of named costs, the form of Eq. 20."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.costs.base import CostFunction
from codi_core.errors import CodiError, CostError, SpecificationError, is_out_of_memory


@attrs.frozen
class CostTerm:
    """One summand.

    Attributes:
        name: how the cost is named in messages and reports.
        cost: the cost function.
        weight: what it is multiplied with.
    """

    name: str
    cost: CostFunction
    weight: float = 1.0


class WeightedCost(CostFunction):
    """J = Σ_j w_j J_j.

    Args:
        terms: at least one, with different names.

    Raises:
        SpecificationError: no terms, or a name twice.
    """

    def __init__(self, terms: tuple[CostTerm, ...]) -> None:
        names = [term.name for term in terms]
        if not terms or len(set(names)) != len(names):
            raise SpecificationError(
                f"a weighted cost needs terms of different names; got {names or 'none'}"
            )
        self.terms = terms

    def __call__(self, trajectory: Any) -> Tensor:
        """The weighted sum (B, M).

        Raises:
            CostError: a term raised, or returned something that is not a (B, M) tensor.
        """
        values = [evaluate_term(term, trajectory) for term in self.terms]
        if len({value.shape for value in values}) > 1:
            shapes = ", ".join(
                f"'{term.name}' {tuple(value.shape)}"
                for term, value in zip(self.terms, values, strict=True)
            )
            raise CostError(f"the costs return different shapes: {shapes}; all must be (B, M)")
        total = self.terms[0].weight * values[0]
        for term, value in zip(self.terms[1:], values[1:], strict=True):
            total = total + term.weight * value
        return total

    def __str__(self) -> str:
        return " + ".join(f"{term.weight:g}·{term.name}" for term in self.terms)


def evaluate_term(term: CostTerm, trajectory: Any) -> Tensor:
    """Evaluate one term, naming it in whatever goes wrong."""
    try:
        value: object = term.cost(trajectory)
    except CodiError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise CostError(f"cost '{term.name}' raised {type(error).__name__}: {error}") from error
    if not isinstance(value, torch.Tensor) or value.is_complex():
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise CostError(
            f"cost '{term.name}' returned {kind}: it must return a (B, M) tensor of real numbers"
        )
    return value
