"""The tensors of a trajectory of any type, and the axes that they begin with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from codi_core.predictors import axes, axes_of
from codi_core.predictors.axes import fields
from codi_core.testing.requirement import ConformanceError

Change = Callable[[Tensor], Tensor]


def parts(trajectory: Any) -> Iterator[tuple[str, Tensor, tuple[str, ...]]]:
    """The name, the value and the leading axes of each tensor, those of properties included.

    Private ones, and properties that the class does not name in ``AXES``, are left out.
    """
    declared = getattr(type(trajectory), "AXES", {})
    values = dict(fields(trajectory))
    values |= {name: getattr(trajectory, name) for name in declared if name not in values}
    return axes.parts(trajectory, values)


def flipped(trajectory: Any, axis: str) -> Any:
    """The same trajectory with its worlds ("B") or its samples ("M") in reverse order."""

    def flip(names: tuple[str, ...]) -> Change:
        def change(tensor: Tensor) -> Tensor:
            # What has fewer axes than worlds and samples belongs to all of them.
            fits = axis in names and tensor.ndim >= max(2, names.index(axis) + 1)
            return tensor.flip(names.index(axis)) if fits else tensor

        return change

    if isinstance(trajectory, Tensor):
        return flip(axes_of(trajectory, ""))(trajectory)
    changed = {
        name: _mapped(value, flip(axes_of(trajectory, name)))
        for name, value in fields(trajectory).items()
    }
    return _with(trajectory, changed)


def worlds_and_samples(trajectory: Any) -> tuple[int, int]:
    """B and M.

    Raises:
        ConformanceError: no tensor has both.
    """
    for _, tensor, names in parts(trajectory):
        if "B" in names and "M" in names and tensor.ndim > max(names.index("B"), names.index("M")):
            return tensor.shape[names.index("B")], tensor.shape[names.index("M")]
    raise ConformanceError("the example trajectory has no tensor of worlds and samples (B, M, ...)")


def _mapped(value: Any, change: Change) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    return _with(value, {name: _mapped(part, change) for name, part in fields(value).items()})


def _with(value: Any, changed: Mapping[str, Any]) -> Any:
    """The same structure with other parts."""
    if not changed:
        return value
    if isinstance(value, Mapping):
        return changed
    if hasattr(value, "_make"):
        return value._make(changed.values())
    if isinstance(value, list | tuple):
        return type(value)(changed.values())
    result = copy.copy(value)
    for name, part in changed.items():
        object.__setattr__(result, name, part)
    return result
