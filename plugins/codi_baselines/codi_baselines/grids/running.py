"""Runs a grid for a command, and shows what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from codi_baselines.results import conclude, draw, name_files
from codi_core.commands.output import show
from codi_core.errors import GridError

if TYPE_CHECKING:
    from codi_core.experiments import Grid


def run_grid(
    grid: Grid,
    title: str,
    given: argparse.Namespace,
    command: str,
    only: Iterable[str] | None = None,
    executor: Executor | None = None,
) -> int:
    """Run a grid, write ``results.png`` beside its tables, and print it; returns the exit code.

    Args:
        grid: what is run.
        title: of the table and the picture.
        given: the options of :func:`add_output_options`.
        command: what is typed to go on, without those.
        only: the rows to run; None stands for all.
        executor: runs the waves; None runs them here.
    """
    try:
        finished = grid.run(
            only=only, resume=given.resume, overwrite=given.overwrite, executor=executor
        )
    except GridError:
        _show(grid, title)
        raise
    _show(grid, title)
    done = sum(row["episodes"] for row in grid.rows())
    return conclude(finished, f"{done} episodes", grid.path, command)


def _show(grid: Grid, title: str) -> None:
    from codi_baselines.grids.picture import write_picture

    rows = [row for row in grid.rows() if row["episodes"]]
    _print_table(title, rows)
    written = [grid.path / name for name in ("results.json", "results.csv")]
    written += draw(lambda: write_picture(grid.path / "results.png", title, rows))
    name_files(written)


def _print_table(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.table import Table

    own = _own_metric(rows)
    broken = any(row["errors"] for row in rows)
    table = Table(title=title)
    table.add_column("row", no_wrap=True)
    headings = ["episodes", "success (95 %)", "time [s]", "rollouts", "ms a plan and world"]
    headings += ["broken"] if broken else []
    headings += [own.replace("_", " ")] if own is not None else []
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [
            row["row"],
            str(row["episodes"]),
            f"{row['success_rate']:.1%} ({row['success_low']:.1%} to {row['success_high']:.1%})",
            f"{row['mean_seconds']:.1f}",
            f"{row['rollouts_per_replan'] or 0:.0f}",
            f"{row['plan_ms_per_world'] or 0:.1f}",
        ]
        cells += [str(row["errors"])] if broken else []
        cells += [f"{row.get(own, float('nan')):.4g}"] if own is not None else []
        table.add_row(*cells)
    show(table, width=130)


def _own_metric(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The first of the task's own metrics; they stand behind the common columns."""
    for row in rows:
        names = list(row)
        return next(iter(names[names.index("error_reasons") + 1 :]), None)
    return None
