"""A plugin whose costs misbehave, each in its own way; tests install it as ``codi-bad-costs``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from codi_core import CostFunction, CostRecord, hookimpl


class SomeNan(CostFunction):
    """Has no value for every fourth sample."""

    def __call__(self, trajectory: Any) -> torch.Tensor:
        """The gap, with holes."""
        cost = trajectory.gap()[..., -1].clone()
        cost[:, ::4] = torch.nan
        return cost


class AllNan(CostFunction):
    """Has no value at all."""

    def __call__(self, trajectory: Any) -> torch.Tensor:
        """Nothing but NaN."""
        return torch.full_like(trajectory.gap()[..., -1], torch.nan)


class Raising(CostFunction):
    """Has a bug."""

    def __call__(self, trajectory: Any) -> torch.Tensor:
        """Raise, two calls deep."""
        return self.look_up(trajectory)

    def look_up(self, trajectory: Any) -> torch.Tensor:
        """Raise a KeyError."""
        return {}["gripper"]


class WrongShape(CostFunction):
    """Forgets the samples' axis."""

    def __call__(self, trajectory: Any) -> torch.Tensor:
        """One value a world."""
        return trajectory.gap()[..., -1].mean(-1)


class NoTensor(CostFunction):
    """Returns a number."""

    def __call__(self, trajectory: Any) -> Any:
        """A float."""
        return 1.0


@hookimpl
def codi_costs() -> Iterator[CostRecord]:
    """All of them."""
    yield CostRecord("some-nan", "NaN for every fourth sample", SomeNan)
    yield CostRecord("all-nan", "NaN for every sample", AllNan)
    yield CostRecord("raising", "raises a KeyError", Raising)
    yield CostRecord("wrong-shape", "one value a world", WrongShape)
    yield CostRecord("no-tensor", "a float", NoTensor)
    yield CostRecord("elsewhere", "for another task", NoTensor, ("some-other-task",))
