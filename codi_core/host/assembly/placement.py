"""Where plans are made: parts on the device and in the precision of the resources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from torch import nn

from codi_core.resources import Resources


def place(part: object, resources: Resources) -> None:
    """Move a part's own tensors to where plans are made, if it is a module or has a normaliser."""
    for module in (part, getattr(part, "normaliser", None)):
        if isinstance(module, nn.Module):
            module.to(resources.device, resources.dtype)


def with_parts(parts: Iterable[object]) -> list[object]:
    """The parts, and what their attributes hold."""
    found: list[object] = []
    for part in parts:
        found.append(part)
        if attrs.has(type(part)):
            fields: Any = attrs.fields(type(part))  # type: ignore[arg-type]
            found += [getattr(part, field.name) for field in fields]
    return found
