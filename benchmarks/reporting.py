"""What all benchmarks share: options, tables and JSON."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

CONSOLE = Console()


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    return parser


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table whose first column is text and whose others are numbers."""
    CONSOLE.print(f"\n[bold]{escape(title)}")
    made = Table()
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number else "left")
    for row in rows:
        made.add_row(*(_text(cell) for cell in row))
    CONSOLE.print(made)


def _text(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return "-" if np.isnan(cell) else f"{cell:.3g}"


def device_name(device: str) -> str:
    """What people call a device: a GPU's product name, or torch's name of another one."""
    import torch  # not every benchmark needs it

    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device


def verdict(what: str, met: bool) -> None:
    """Say whether a bar is met."""
    CONSOLE.print(f"{what}: {'[green]met' if met else '[red]missed'}", highlight=False)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
    }


def save(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures with what they were measured on, if a path was given."""
    if path is None:
        return
    packages = ("codi-core", "codi-franka", "codi-navigation", "mujoco", "numpy", "torch")
    content = {
        **figures,
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": _versions(packages),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    CONSOLE.print(f"wrote {path}", highlight=False)


def _versions(names: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
