"""Puts what has changed in some worlds into what is known of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from torch import Tensor


def with_rows(whole: Any, rows: Tensor, part: Any) -> Any:
    """A copy of ``whole`` in which some worlds are those of ``part``.

    Args:
        whole: tensors and arrays (B, ...), in mappings and attrs classes of any depth. Whatever
            else is in there is taken from ``part``.
        rows: the worlds' numbers, (b,).
        part: likewise, (b, ...).
    """
    if isinstance(whole, Tensor):
        return whole.index_copy(0, rows.to(whole.device), part)
    if isinstance(whole, np.ndarray):
        copy = whole.copy()
        copy[rows.numpy()] = part
        return copy
    if isinstance(whole, Mapping):
        return {name: with_rows(value, rows, part[name]) for name, value in whole.items()}
    if attrs.has(type(whole)):
        names = [field.name for field in attrs.fields(type(whole))]
        changed = {
            name: with_rows(getattr(whole, name), rows, getattr(part, name)) for name in names
        }
        return attrs.evolve(whole, **changed)
    return part
