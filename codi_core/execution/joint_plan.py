"""The plan that all worlds of a batch follow, put together from what could be planned."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import Plan


@attrs.frozen(eq=False)
class JointPlan:
    """A plan of B worlds, some of which may follow an older one.

    Attributes:
        plan: the plan.
        numbers: (B,), the number of the plan that each world follows; -1 for none.
        start: the control step that the newest plan was made for.
    """

    plan: Plan
    numbers: NDArray[np.int64]
    start: int

    @classmethod
    def first(cls, plan: Plan, broken: Sequence[int]) -> JointPlan:
        """A first plan, of all worlds; those that broke have no plan."""
        numbers = np.zeros(len(plan.flat), np.int64)
        numbers[list(broken)] = -1
        return cls(plan, numbers, 0)

    def renewed(
        self, plan: Plan, number: int, worlds: Sequence[int], broken: Sequence[int], start: int
    ) -> JointPlan:
        """With a new plan for some worlds; the others repeat the one that they have.

        Args:
            plan: of b worlds.
            number: the plan's number.
            worlds: the numbers of the b worlds.
            broken: those of them that broke, and that have no new plan.
            start: the control step that the plan was made for.
        """
        lost = set(broken)
        kept = [row for row, world in enumerate(worlds) if world not in lost]
        planned = [worlds[row] for row in kept]
        numbers = self.numbers.copy()
        numbers[planned] = number
        if len(planned) < len(numbers):
            plan = _over(self.plan, plan, torch.tensor(planned, dtype=torch.long), kept)
        return JointPlan(plan, numbers, start)


def _over(before: Plan, plan: Plan, worlds: Tensor, kept: Sequence[int]) -> Plan:
    """The plan before with rows ``kept`` of the new one for ``worlds``."""

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, worlds.to(old.device), new[list(kept)])

    chunks = tuple(put(*pair) for pair in zip(before.chunks, plan.chunks, strict=True))
    return attrs.evolve(plan, chunks=chunks, flat=put(before.flat, plan.flat))
