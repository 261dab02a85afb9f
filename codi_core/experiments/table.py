"""Several runs as a table: what they differ in, and what came of each."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from codi_core.errors import MissingExtraError
from codi_core.evaluation.metrics import run_metrics, world_plans
from codi_core.evaluation.statistics import wilson_interval
from codi_core.experiments.experiment import Experiment
from codi_core.experiments.running import Run

Record = dict[str, Any]
"""One row of a table by its columns, JSON-able."""


def options_of(experiment: Experiment) -> dict[str, Any]:
    """The resolved options, the task's own ones among them."""
    values = attrs.asdict(experiment.config, recurse=False)
    own = values.pop("task_options")
    return {**values, **own}


def differing(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the options that are not the same in all rows."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if any(row.get(name) != rows[0].get(name) for row in rows)]


def measured(run: Run) -> Record:
    """What came of a run, as far as it has come.

    A failure counts with the time limit. The interval is Wilson's, of 95 %.
    """
    episodes, waves, config = run.episodes, run.folder.waves(), run.experiment.config
    options = attrs.asdict(config, recurse=False)
    metrics = run_metrics(options, episodes, waves, run.experiment.opened.parts.metrics)
    successes = sum(bool(record["success"]) for record in episodes)
    low, high = wilson_interval(successes, len(episodes))
    planning = [wave["stage_seconds"]["plan"] for wave in waves if "plan" in wave["stage_seconds"]]
    plans = world_plans(waves)
    return {
        "episodes": len(episodes),
        "missing": config.episodes - len(episodes),
        "successes": successes,
        "success_rate": metrics["success_rate"],
        "success_low": low,
        "success_high": high,
        "mean_seconds": metrics["completion_time_s"]["mean"],
        "median_seconds": metrics["completion_time_s"]["median"],
        "rollouts_per_replan": metrics["rollouts_per_replan"],
        "plan_ms_per_world": 1e3 * sum(planning) / plans if plans and planning else None,
        "errors": metrics["errors"],
        "error_reasons": dict(Counter(row["error"] for row in episodes if "error" in row)),
        **dict(_flat("", metrics["task_metrics"])),
    }


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
    """Numbers in nested objects, under their names joined by spaces."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(f"{prefix} {name}".strip(), item)
    elif isinstance(value, int | float):
        yield prefix, value


def to_csv(records: Sequence[Record]) -> str:
    """The records as CSV with a header."""
    stream = io.StringIO()
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat_cells(record) for record in records)
    return stream.getvalue()


def to_frame(records: Sequence[Record]) -> Any:
    """The records as a pandas data frame.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("data frames", "data") from error
    return pd.DataFrame([_flat_cells(record) for record in records])


def _flat_cells(record: Record) -> Record:
    """The record with texts where it holds several values."""
    return {name: _cell(value) for name, value in record.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping):
        return "; ".join(f"{count} x {reason}" for reason, count in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return value
