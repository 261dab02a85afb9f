"""The tensors of a trajectory of any type, and the axes that they begin with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from torch import Tensor

DEFAULT_AXES = "B M K"


def axes_of(trajectory: object, field: str) -> tuple[str, ...]:
    """The names of the leading axes of the tensors in a trajectory's field.

    B are worlds, M samples, K control steps and N agents; a number is the axis' size, and another
    letter says nothing. What a trajectory's class does not name in ``AXES`` starts with B M K,
    where an axis of size 1 stands for all; what it names "" is not meant to be read by others::

        class Paths:
            AXES: ClassVar[Mapping[str, str]] = {"path": "K 3 B N M", "state": "B", "pairs": ""}
    """
    declared: Mapping[str, str] = getattr(type(trajectory), "AXES", {})
    return tuple(declared.get(field, DEFAULT_AXES).split())


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


def parts(
    trajectory: Any, values: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, Tensor, tuple[str, ...]]]:
    """The name, the value and the leading axes of each tensor; private ones are left out.

    Args:
        trajectory: the trajectory.
        values: what is looked at, by name; by default its fields.
    """
    if isinstance(trajectory, Tensor):
        yield "trajectory", trajectory, axes_of(trajectory, "")
        return
    for name, value in (fields(trajectory) if values is None else values).items():
        axes = axes_of(trajectory, name)
        if axes and not name.startswith("_"):
            for inner, tensor in _tensors(value, name):
                yield inner, tensor, axes


def begins_with(shape: tuple[int, ...], axes: tuple[str, ...], sizes: Mapping[str, int]) -> bool:
    """Whether a tensor's shape begins with the declared axes.

    Args:
        shape: the shape.
        axes: their names.
        sizes: how long the axes are whose length is known, by their names.
    """
    return len(shape) >= len(axes) and all(
        _fits(axis, size, sizes) for axis, size in zip(axes, shape, strict=False)
    )


def _fits(axis: str, size: int, sizes: Mapping[str, int]) -> bool:
    if axis.isdigit():
        return size == int(axis)
    shared = axis in ("B", "M", "K") and size == 1
    return axis not in sizes or size == sizes[axis] or shared


def _tensors(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    for inner, part in fields(value).items():
        yield from _tensors(part, f"{name}.{inner}")
