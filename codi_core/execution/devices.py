"""Moves typed states and observations to the device where plans are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import attrs
import torch


def to_device(value: Any, device: torch.device | str) -> Any:
    """The same structure with its tensors on ``device``.

    It looks into mappings, tuples, lists, attrs classes and data classes; whatever else it finds
    stays as it is.
    """
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: to_device(item, device) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(to_device(item, device) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(to_device(item, device) for item in value)
    if attrs.has(type(value)):
        fields = {field.alias: field.name for field in attrs.fields(type(value)) if field.init}
        return attrs.evolve(value, **_moved(value, device, fields))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: field.name for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **_moved(value, device, fields))
    return value


def _moved(
    value: Any, device: torch.device | str, fields: Mapping[str | None, str]
) -> dict[str, Any]:
    return {str(key): to_device(getattr(value, name), device) for key, name in fields.items()}
