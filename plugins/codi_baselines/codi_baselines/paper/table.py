"""One table of all rows, as CSV, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from codi_baselines.paper.outcomes import TIME, Measures, Outcome, share, unit_of, with_unit
from codi_core.evaluation.metrics import WARNINGS
from codi_core.experiments.table import to_csv
from codi_core.files.durable import to_json, write_durably

CSV, JSON, MARKDOWN = "table.csv", "table.json", "table.md"

COUNTED = {
    "collisions": "collisions",
    "approaches": "simultaneous approaches",
    "interventions": "guard's interventions",
}
"""Measures that count something, fields of :class:`Measures`, with their headings."""


def record(outcome: Outcome, measures: Measures) -> dict[str, Any]:
    """One row of the table; what its episodes don't say is left out.

    Intervals are Wilson's, of 95 %. A failure counts with the time limit. Distances and times are
    in SI units.
    """
    rate, low, high = outcome.rate
    distances = list(outcome.values(measures.distance).values())
    times = list(outcome.values(TIME).values())
    found: dict[str, Any] = {
        "row": outcome.label,
        "name": outcome.name,
        "episodes": len(outcome.records),
        "successes": outcome.successes,
        "success_rate": rate,
        "success_low": low,
        "success_high": high,
    }
    if distances:
        found["distance_median"] = float(np.median(distances))
        found["distance_p95"] = float(np.percentile(distances, 95))
    if missed := outcome.missed(measures.distance):
        found["failures_distance_median"] = float(np.median(missed))
    found["seconds_mean"] = float(np.mean(times))
    found["seconds_median"] = float(np.median(times))
    for name in COUNTED:
        values = list(outcome.values(getattr(measures, name)).values())
        if values:
            had, trials = outcome.happened(getattr(measures, name))
            found[f"{name}_per_episode"] = float(np.mean(values))
            ends = zip(("share", "low", "high"), share(had, trials), strict=True)
            found |= {f"{name}_{end}": value for end, value in ends}
    found["rollouts_per_replan"] = outcome.rollouts
    if outcome.sample_size is not None:
        found["effective_sample_size"] = outcome.sample_size
        found["samples"] = outcome.samples
    counts = outcome.metrics.get("warnings", {})
    found["warnings"] = {name: counts[name] for name in WARNINGS if counts.get(name)}
    found["errors"] = sum("error" in each for each in outcome.records.values())
    return found


def write_table(folder: Path, outcomes: Sequence[Outcome], measures: Measures) -> list[Path]:
    """Write all rows that have episodes; returns the files.

    Args:
        folder: where they go.
        outcomes: the rows.
        measures: which values of the records mean what.
    """
    records = [record(outcome, measures) for outcome in outcomes]
    contents = {
        CSV: to_csv(records),
        JSON: to_json({"rows": records}),
        MARKDOWN: markdown(*cells(records, columns(measures))),
    }
    for name, content in contents.items():
        write_durably(folder / name, content)
    return [folder / name for name in contents]


@attrs.frozen
class Column:
    """A column of the table for people.

    Attributes:
        heading: above it.
        needs: a value of the record, without which the cell stays empty.
        cell: from a record to the cell's text.
    """

    heading: str
    needs: str
    cell: Callable[[Mapping[str, Any]], str]

    def of(self, records: Sequence[Mapping[str, Any]]) -> list[str]:
        """The column's cells."""
        return [self.cell(record) if self.needs in record else "" for record in records]


def cells(
    records: Sequence[Mapping[str, Any]], shown: Sequence[Column]
) -> tuple[list[str], list[list[str]]]:
    """A table for people: its headings and its lines; columns that are empty are left out."""
    filled = {column.heading: column.of(records) for column in shown}
    kept = [heading for heading, column in filled.items() if any(column)]
    return kept, [list(line) for line in zip(*(filled[heading] for heading in kept), strict=True)]


def columns(measures: Measures) -> tuple[Column, ...]:
    """What people read of all rows."""
    scale = unit_of(measures.distance)[0]
    closest = with_unit("closest", measures.distance)

    def distance(row: Mapping[str, Any]) -> str:
        return f"{scale * row['distance_median']:.3g} / {scale * row['distance_p95']:.3g}"

    return (
        NAME,
        Column("success (95 %)", "successes", _success),
        Column(f"{closest}, median / p95", "distance_median", distance),
        Column("time [s], mean / median", "seconds_mean", _seconds),
        *(
            Column(heading, f"{name}_share", partial(_happened, name))
            for name, heading in COUNTED.items()
        ),
        ROLLOUTS,
        SAMPLES,
        Column("broken", "errors", lambda row: str(row["errors"] or "")),
    )


def plan_columns(measures: Measures) -> tuple[Column, ...]:
    """What plans were made of, and how near failures came."""
    scale = unit_of(measures.distance)[0]
    missed = with_unit("closest of failures", measures.distance)

    def distance(row: Mapping[str, Any]) -> str:
        return f"{scale * row['failures_distance_median']:.3g}"

    return (
        NAME,
        ROLLOUTS,
        SAMPLES,
        Column("warnings", "warnings", _warnings),
        Column(f"{missed}, median", "failures_distance_median", distance),
    )


def markdown(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [headings, ["---"] * len(headings), *lines]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _success(row: Mapping[str, Any]) -> str:
    return (
        f"{row['successes']} of {row['episodes']}: {100 * row['success_rate']:.1f} % "
        f"({100 * row['success_low']:.1f} to {100 * row['success_high']:.1f} %)"
    )


def _seconds(row: Mapping[str, Any]) -> str:
    return f"{row['seconds_mean']:.1f} / {row['seconds_median']:.1f}"


def _happened(name: str, row: Mapping[str, Any]) -> str:
    return f"{100 * row[f'{name}_share']:.0f} %, {row[f'{name}_per_episode']:.2g} an episode"


def _sample_size(row: Mapping[str, Any]) -> str:
    return f"{row['effective_sample_size']:.3g} of {row['samples']}"


def _warnings(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {n:,}" for name, n in row["warnings"].items())


NAME = Column("method", "name", lambda row: str(row["name"]))
ROLLOUTS = Column(
    "rollouts a replan", "rollouts_per_replan", lambda row: f"{row['rollouts_per_replan']:.0f}"
)
SAMPLES = Column("effective samples", "effective_sample_size", _sample_size)
