"""What other combinations of the agents' samples cost, from one prediction of all samples.

Where each agent's motion follows from its own actions, a term of one agent has the same value
whatever the others do, and a term of several is the only thing that changes when one of them does
something else. So in a selection agent by agent nothing is predicted twice, and of the cost only
those terms are looked at again that involve an agent whose turn it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from torch import Tensor

from codi_core.costs import CostFunction, CostTerms
from codi_core.planning import LocalEvaluate

Recombine = Callable[[Any, Tensor, Tensor], Any]
"""As :meth:`~codi_core.predictors.SeparablePredictor.recombine`."""


@attrs.frozen(eq=False)
class Recombination:
    """The terms of M predicted samples, and those of others that are put together of their parts.

    Attributes:
        terms: of the samples themselves.
        own: those of them that involve one agent each. Whatever the others do, they are the same.
        beside: the other terms where some agents do what they did in each sample, and the others
            what they did in one: from the numbers (B, N) of these samples, and from which agents
            vary (B, N). It may lack terms that involve none of these.
    """

    terms: CostTerms
    own: CostTerms | None
    beside: Callable[[Tensor, Tensor], CostTerms | None]


class RecombiningEvaluate(LocalEvaluate, Protocol):
    """A :class:`LocalEvaluate` that may know other combinations of what it was asked for."""

    def recombination(self, flat: Tensor, /) -> Recombination | None:
        """The terms of flat joint chunks (B, M, D), and of others made of the agents' parts."""


def recombination(
    costs: Sequence[CostFunction],
    trajectory: Any,
    judge: Callable[[CostFunction, Any], CostTerms],
    recombine: Recombine,
) -> Recombination:
    """Judge samples, and say what else their parts can be put together to.

    Args:
        costs: the summands of a local cost.
        trajectory: of the samples.
        judge: the terms of a cost of a trajectory.
        recombine: of the predictor that foresaw it.
    """
    terms = [judge(cost, trajectory) for cost in costs]
    # Whether terms of two agents name one of them twice is not looked at: that could mean to wait.
    own = [each for each in terms if each.members.shape[-1] == 1]
    shared = [cost for cost, each in zip(costs, terms, strict=True) if each.members.shape[-1] > 1]

    def beside(numbers: Tensor, moving: Tensor) -> CostTerms | None:
        if not shared:
            return None
        other = recombine(trajectory, numbers, moving)
        return CostTerms.joined([judge(cost, other) for cost in shared])

    return Recombination(CostTerms.joined(terms), CostTerms.joined(own) if own else None, beside)
