"""Devices, and typed states and observations that go there or are copied."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.errors import UsageError

_SMALL = 2**14
"""Tensors of no more numbers take longer to send than to put beside others."""


def check_device(device: str) -> None:
    """Check that tensors can be made, and read, on a device.

    Raises:
        UsageError: they can't; the message lists the devices that there are.
    """
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ValueError) as error:
        there = ", ".join(_devices())
        raise UsageError(f"--device {device} cannot be used here; there is {there}") from error


def _devices() -> list[str]:
    """The devices that torch finds."""
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def to_device(value: Any, device: torch.device | str) -> Any:
    """The same structure with its tensors on ``device``.

    It looks into mappings, tuples, lists, attrs classes and data classes; whatever else it finds
    stays as it is.
    """
    return with_tensors(value, lambda tensor: tensor.to(device))


def to_device_together(value: Any, device: torch.device | str) -> Any:
    """As :func:`to_device`, for what is only read there: small tensors share one memory.

    They travel together: alone, each would take as long as all of them.
    """
    small: dict[torch.dtype, dict[int, torch.Tensor]] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if not _is_on(tensor, torch.device(device)) and tensor.numel() <= _SMALL:
            small.setdefault(tensor.dtype, {})[id(tensor)] = tensor
        return tensor

    with_tensors(value, note)
    moved: dict[int, torch.Tensor] = {}
    for tensors in small.values():
        if len(tensors) > 1:
            there = _moved_together(list(tensors.values()), device)
            moved.update(zip(tensors, there, strict=True))
    return with_tensors(value, lambda tensor: moved.get(id(tensor), tensor).to(device))


def _is_on(tensor: torch.Tensor, device: torch.device) -> bool:
    there = tensor.device
    return there.type == device.type and device.index in (None, there.index)


def _moved_together(
    tensors: Sequence[torch.Tensor], device: torch.device | str
) -> list[torch.Tensor]:
    """Tensors of one type on another device, all in one memory there."""
    there = torch.cat([tensor.flatten() for tensor in tensors]).to(device)
    parts = torch.split(there, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def copied_chunks(
    chunks: Sequence[torch.Tensor], device: torch.device | str | None = None
) -> tuple[torch.Tensor, ...]:
    """Copies of all agents' chunks (B, K, A_i) in one operation, there or on another device."""
    sizes = [chunk.shape[-1] for chunk in chunks]
    return torch.split(torch.cat(list(chunks), -1).to(device), sizes, -1)


def on_host(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Named tensors of one device as arrays: a GPU is waited for once, and copied from once.

    On the CPU nothing is copied: an array shares its tensor's memory.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors.values()):
        return {name: tensor.numpy() for name, tensor in tensors.items()}
    # The widest numbers first: so each tensor's bytes begin where numbers of its type may.
    names = sorted(tensors, key=lambda name: -tensors[name].element_size())
    flat = [tensors[name].reshape(-1).view(torch.uint8) for name in names]
    parts = torch.cat(flat).cpu().split_with_sizes([len(part) for part in flat])
    there = {
        name: part.view(tensors[name].dtype).view(tensors[name].shape).numpy()
        for name, part in zip(names, parts, strict=True)
    }
    return {name: there[name] for name in tensors}


def with_tensors(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same structure with its tensors changed; it looks where :func:`to_device` does."""
    if isinstance(value, torch.Tensor):
        return change(value)
    return _changed(value, lambda part: with_tensors(part, change))


def copied(value: Any) -> Any:
    """The same structure with copies of the tensors that it holds itself.

    What lies deeper, such as maps and routes, is large, and stays as it is.
    """
    return _copy(value) if isinstance(value, torch.Tensor) else _changed(value, _copy)


def _copy(part: Any) -> Any:
    return part.clone() if isinstance(part, torch.Tensor) else part


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same structure with its parts changed."""
    if isinstance(value, Mapping):
        return {name: change(item) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(change, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(change, value))
    if attrs.has(type(value)):
        fields = {field.alias: field.name for field in attrs.fields(type(value)) if field.init}
        return attrs.evolve(value, **_parts(value, change, fields))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: field.name for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **_parts(value, change, fields))
    return value


def _parts(
    value: Any, change: Callable[[Any], Any], fields: Mapping[str | None, str]
) -> dict[str, Any]:
    return {str(key): change(getattr(value, name)) for key, name in fields.items()}
