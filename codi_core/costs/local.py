"""Costs that declare their locality."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from codi_core.costs.base import CostFunction
from codi_core.costs.terms import CostTerms
from codi_core.costs.weighted import WeightedCost
from codi_core.errors import CostError, LocalityError, is_out_of_memory


class LocalCost(CostFunction):
    """A cost that is a sum of terms, each of which involves a few agents."""

    @abstractmethod
    def terms(self, trajectory: Any) -> CostTerms:
        """The terms of each predicted trajectory.

        Args:
            trajectory: what the task's predictor foresees, as for any :class:`CostFunction`.
        """

    def __call__(self, trajectory: Any) -> Tensor:
        """The sum of the terms, (B, M).

        Raises:
            CostError: they are not terms.
        """
        return _checked(self.terms(trajectory), type(self).__name__).total()


def local_terms(cost: CostFunction, trajectory: Any) -> CostTerms:
    """The terms of a local cost. A weighted sum of local costs is local: its terms are theirs.

    Raises:
        LocalityError: the cost, or a summand, is not local; the message names all of them.
        CostError: a cost raised, or returned something that is not (T, M) terms.
    """
    require_locality(cost)
    return _terms(cost, trajectory, type(cost).__name__)


def require_locality(cost: CostFunction) -> None:
    """Check that a cost is local, or a weighted sum of local costs.

    Raises:
        LocalityError: it is not; the message names what lacks locality.
    """
    lacking = _without_locality(cost, type(cost).__name__)
    if lacking:
        raise LocalityError(lacking)


def has_locality(cost: CostFunction) -> bool:
    """Whether a cost is local, or a weighted sum of local costs."""
    return not _without_locality(cost, type(cost).__name__)


def summands(cost: CostFunction) -> tuple[CostFunction, ...]:
    """The weighted summands of a cost, each a cost of its own that keeps its name; or the cost."""
    if not isinstance(cost, WeightedCost):
        return (cost,)
    return tuple(WeightedCost((term,)) for term in cost.terms)


def _without_locality(cost: CostFunction, name: str) -> list[str]:
    if isinstance(cost, WeightedCost):
        return [found for term in cost.terms for found in _without_locality(term.cost, term.name)]
    return [] if isinstance(cost, LocalCost) else [name]


def _terms(cost: CostFunction, trajectory: Any, name: str) -> CostTerms:
    if isinstance(cost, WeightedCost):
        return CostTerms.joined(
            [_terms(term.cost, trajectory, term.name).scaled(term.weight) for term in cost.terms]
        )
    assert isinstance(cost, LocalCost)
    try:
        found: object = cost.terms(trajectory)
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise CostError(f"cost '{name}' raised {type(error).__name__}: {error}") from error
    return _checked(found, name)


def _checked(found: object, name: str) -> CostTerms:
    if not isinstance(found, CostTerms):
        raise CostError(f"the terms of cost '{name}' are {type(found).__name__}, not CostTerms")
    tensors: tuple[object, ...] = (found.values, found.world, found.members)
    if not all(isinstance(part, Tensor) for part in tensors):
        kinds = ", ".join(type(part).__name__ for part in tensors)
        raise CostError(f"the terms of cost '{name}' have {kinds}; they must be tensors")
    shapes = [tuple(part.shape) for part in (found.values, found.world, found.members)]
    count = shapes[0][:1]
    if [len(shape) for shape in shapes] != [2, 1, 2] or {s[:1] for s in shapes} != {count}:
        raise CostError(
            f"the terms of cost '{name}' have values {shapes[0]}, world {shapes[1]} and members "
            f"{shapes[2]}; they must be (T, M), (T,) and (T, k)"
        )
    kinds = f"{found.values.dtype}, {found.world.dtype} and {found.members.dtype}"
    if found.values.is_complex() or {found.world.dtype, found.members.dtype} != {torch.int64}:
        raise CostError(
            f"the terms of cost '{name}' have values, world and members of the types {kinds}; "
            "they must be real numbers, int64 and int64"
        )
    return found
