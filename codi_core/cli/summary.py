"""What a run prints at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codi_core.commands.output import say, show


def print_summary(metrics: Mapping[str, Any], written: Sequence[Path]) -> None:
    """Print the metrics as a table, and what was written where."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{metrics['task']}, method {metrics['method']}", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in _rows(metrics):
        # As Text: units in brackets are no markup.
        table.add_row(Text(name), Text(value))
    show(table)
    for path in written:
        # Not through the console: it would break long paths into lines.
        say(f"wrote {path}")


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    low, high = metrics["success_interval_95"]
    rate = metrics["success_rate"]
    yield "episodes", str(metrics["episodes"])
    if rate is not None:
        yield "success", f"{rate:.1%}  (95 %: {low:.1%} to {high:.1%})"
    yield from _flat("completion time [s]", metrics["completion_time_s"])
    latency = metrics["replan_latency_s"]
    yield from _flat(
        "replan latency [ms]",
        {name: None if value is None else 1e3 * value for name, value in latency.items()},
    )
    if metrics["late_replans"] is not None:
        yield "late replans", f"{metrics['late_replans']:.1%}"
    yield from _flat("rollouts a replan", metrics["rollouts_per_replan"])
    yield "predictor", str(metrics["predictor"])
    for name, value in metrics["task_metrics"].items():
        yield from _flat(name, value)
    yield from _flat("cost", metrics["costs"])
    if metrics["errors"]:
        yield "episodes that broke", str(metrics["errors"])
    for name, count in metrics["warnings"].items():
        if count:
            yield f"warning: {name}", str(count)


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name} {key}", item)
    elif isinstance(value, float):
        yield name, f"{value:.4g}"
    elif value is not None:
        yield name, str(value)
