"""Reads the rows of a grid from a TOML or JSON file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from codi_core.errors import UsageError


@attrs.frozen
class GridFile:
    """What a file says.

    Attributes:
        task: the task's name.
        rows: by label, the options of ``codi-run`` by name.
        shared: options of all rows.
    """

    task: str
    rows: Mapping[str, Mapping[str, Any]]
    shared: Mapping[str, Any] = attrs.field(factory=dict)


def read_grid_file(path: Path) -> GridFile:
    """The content of a file; what its name ends with tells TOML from JSON.

    Raises:
        UsageError: it can't be read, or is of another form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read '{path}': {error}") from error
    try:
        content = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"'{path}' is neither TOML nor, as *.json, JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("task"), str):
        raise UsageError(f"'{path}' has no task: write, in the first line, task = \"NAME\"")
    unknown = sorted(set(content) - {"task", "rows", "shared"})
    if unknown:
        raise UsageError(
            f"'{path}' has {', '.join(unknown)} outside of its tables: options of all rows belong "
            "into [shared], those of one row into [rows.LABEL]"
        )
    for table in ("rows", "shared"):
        if not isinstance(content.get(table, {}), dict):
            raise UsageError(f"'{path}': [{table}] must hold options by name")
    return GridFile(content["task"], content.get("rows", {}), content.get("shared", {}))
