"""The comparison as rows of numbers, from each entry's ``metrics.json``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import attrs


@attrs.frozen
class Row:
    """What one entry reached.

    Attributes:
        entry: its label.
        episodes: how many have finished.
        success_rate: their share that succeeded.
        interval: the 95 % Wilson interval of that.
        seconds_to_success: mean completion time [s of the task]; a failure counts as the limit.
        rollouts: a replan.
        plan_seconds: wall time that a replan takes for one world of its batch [s].
        task_metrics: the task's own metrics, flattened: "name part" to number.
    """

    entry: str
    episodes: int
    success_rate: float
    interval: tuple[float, float]
    seconds_to_success: float
    rollouts: float
    plan_seconds: float
    task_metrics: Mapping[str, float]


def make_row(label: str, metrics: Mapping[str, Any], worlds: float) -> Row:
    """The row of an entry.

    Args:
        label: the entry's.
        metrics: the content of its ``metrics.json``, with at least one episode.
        worlds: how many worlds a plan served, on average.
    """
    low, high = metrics["success_interval_95"]
    stages = metrics["diagnostics"]["stage_seconds_per_replan"]
    return Row(
        entry=label,
        episodes=metrics["episodes"],
        success_rate=metrics["success_rate"],
        interval=(low, high),
        seconds_to_success=metrics["completion_time_s"]["mean"],
        rollouts=metrics["rollouts_per_replan"] or 0.0,
        plan_seconds=stages.get("plan", 0.0) / worlds,
        task_metrics=dict(_flat("", metrics["task_metrics"])),
    )


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV text with a header; the task's metrics are columns of their own."""
    names = list(dict.fromkeys(name for row in rows for name in row.task_metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ("entry", "episodes", "success_rate", "low", "high", "seconds_to_success")
    writer.writerow([*head, "rollouts", "plan_seconds", *names])
    for row in rows:
        own = (row.entry, row.episodes, row.success_rate, *row.interval, row.seconds_to_success)
        others = [row.task_metrics.get(name, "") for name in names]
        writer.writerow([*own, row.rollouts, row.plan_seconds, *others])
    return text.getvalue()


def _flat(prefix: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [
            pair for key, item in value.items() for pair in _flat(f"{prefix} {key}".strip(), item)
        ]
    return [(prefix, float(value))] if isinstance(value, int | float) else []
