"""The tensors of a trajectory of any type, and the axes that they begin with."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from torch import Tensor

from codi_core.predictors import axes_of
from codi_core.testing.requirement import ConformanceError

Change = Callable[[Tensor], Tensor]


def fields(value: Any) -> Mapping[str, Any]:
    """The parts of mappings, sequences, attrs classes and data classes by their names."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if isinstance(value, list | tuple):
        return {str(index): part for index, part in enumerate(value)}
    if attrs.has(type(value)):
        return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def parts(trajectory: Any) -> Iterator[tuple[str, Tensor, tuple[str, ...]]]:
    """The name, the value and the leading axes of each tensor; private ones are left out."""
    if isinstance(trajectory, Tensor):
        yield "trajectory", trajectory, axes_of(trajectory, "")
        return
    values = dict(fields(trajectory))
    declared = getattr(type(trajectory), "AXES", {})
    values |= {name: getattr(trajectory, name) for name in declared if name not in values}
    for name, value in values.items():
        axes = axes_of(trajectory, name)
        if axes and not name.startswith("_"):
            for inner, tensor in _tensors(value, name):
                yield inner, tensor, axes


def flipped(trajectory: Any, axis: str) -> Any:
    """The same trajectory with its worlds ("B") or its samples ("M") in reverse order."""

    def flip(axes: tuple[str, ...]) -> Change:
        def change(tensor: Tensor) -> Tensor:
            # What has fewer axes than worlds and samples belongs to all of them.
            fits = axis in axes and tensor.ndim >= max(2, axes.index(axis) + 1)
            return tensor.flip(axes.index(axis)) if fits else tensor

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
    for _, tensor, axes in parts(trajectory):
        if "B" in axes and "M" in axes and tensor.ndim > max(axes.index("B"), axes.index("M")):
            return tensor.shape[axes.index("B")], tensor.shape[axes.index("M")]
    raise ConformanceError("the example trajectory has no tensor of worlds and samples (B, M, ...)")


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    for inner, part in fields(value).items():
        yield from _tensors(part, f"{name}.{inner}")


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
