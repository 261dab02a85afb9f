"""Cells summed up over seeds: one row for each dimension, estimator and M."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

Record = Mapping[str, Any]

AVERAGED = (
    "evaluations",
    "seconds",
    "cost",
    "cost_median",
    "energy_distance",
    "mode_distance",
    "mode_floor",
    "wrong_modes",
)


@attrs.frozen
class Row:
    """What one estimator with one M reached in one dimension, means over the seeds.

    Attributes:
        dimension: D.
        estimator: its label.
        samples: M.
        seeds: how many problems it was measured on.
        plans: how many plans, on all of them.
        evaluations: evaluations of the cost a plan.
        seconds: wall time a plan [s], of plans that are made many at once.
        cost: E[J]/λ.
        cost_error: its standard error.
        cost_median: the median of J/λ.
        energy_distance: of the final positions from those of π; near zero for exact draws.
        mode_distance: the total variation of the mode combinations from π's.
        mode_floor: what that is for as many exact draws.
        wrong_modes: the share of plans with modes that π excludes.
        errors: relative errors of g by noise level.
    """

    dimension: int
    estimator: str
    samples: int
    seeds: int
    plans: int
    evaluations: float
    seconds: float
    cost: float
    cost_error: float
    cost_median: float
    energy_distance: float
    mode_distance: float
    mode_floor: float
    wrong_modes: float
    errors: Mapping[str, float]


def summarise(records: Iterable[Record]) -> list[Row]:
    """One row for each dimension, estimator and M, in the order of the records.

    An estimator with M that failed on one problem has no row: the others alone would flatter it.
    """
    grouped: dict[tuple[int, str, int], list[Record]] = {}
    for record in records:
        key = (record["dimension"], record["estimator"], record["samples"])
        grouped.setdefault(key, []).append(record)
    rows = [
        _row(key, group)
        for key, group in grouped.items()
        if not any("failed" in record for record in group)
    ]
    return sorted(rows, key=lambda row: row.dimension)


def _row(key: tuple[int, str, int], group: Sequence[Record]) -> Row:
    dimension, estimator, samples = key
    # The seeds are a fixed set of problems, each with a mean of its own.
    variance = sum(record["cost_variance"] / record["plans"] for record in group)
    return Row(
        dimension=dimension,
        estimator=estimator,
        samples=samples,
        seeds=len(group),
        plans=sum(record["plans"] for record in group),
        cost_error=math.sqrt(variance) / len(group),
        errors=_errors([record["errors"] for record in group]),
        **{name: sum(record[name] for record in group) / len(group) for name in AVERAGED},
    )


def _errors(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Root mean squares over the seeds."""
    return {
        level: math.sqrt(sum(errors[level] ** 2 for errors in found) / len(found))
        for level in found[0]
    }
