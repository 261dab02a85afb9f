"""The benchmark from its first cell to its files."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Mapping, Sequence
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import attrs
import torch

from codi_baselines.closed_form.cells import (
    Cell,
    Effort,
    make_cells,
    measure,
    references,
)
from codi_baselines.closed_form.estimators import (
    EXACT_GUIDANCE,
    PRINTED,
    Estimator,
    Role,
)
from codi_baselines.closed_form.picture import write_picture
from codi_baselines.closed_form.problems import description
from codi_baselines.closed_form.table import Row, summarise
from codi_baselines.closed_form.verdict import Verdict, conclusions, verdicts
from codi_baselines.folder import BenchmarkFolder
from codi_baselines.measuring import measure_missing
from codi_baselines.progress import CellProgress
from codi_core.experiments import worker_pool
from codi_core.files.durable import to_json, write_durably
from codi_core.host.plugins import Host, load_plugins

JSON_FILE, CSV_FILE, PICTURE = "estimators.json", "estimators.csv", "estimators.png"
RESULTS = (JSON_FILE, CSV_FILE, PICTURE)

IDEAL, SAMPLED = "exact draws of π", "the exact guidance in the same sampler"


@attrs.frozen
class Results:
    """What came of the cells.

    Attributes:
        rows: one for each dimension, estimator and M.
        roles: each estimator's role, by its label.
        references: by dimension, the exact values of E[J]/λ by their description.
        unguided: by dimension, E[J]/λ of the product policy.
        verdicts: one for each dimension and reference.
        failures: cells whose plans were not finite, in words.
    """

    rows: Sequence[Row]
    roles: Mapping[str, Role]
    references: Mapping[int, Mapping[str, float]]
    unguided: Mapping[int, float]
    verdicts: Sequence[Verdict]
    failures: Sequence[str]


@attrs.frozen(eq=False)
class Benchmark:
    """What is measured.

    Attributes:
        host: makes registered parts.
        dimensions: D of the problems.
        seeds: how many problems of each dimension.
        estimators: what is compared.
        effort: how much of each.
    """

    host: Host
    dimensions: tuple[int, ...]
    seeds: int
    estimators: tuple[Estimator, ...]
    effort: Effort

    def configuration(self) -> dict[str, Any]:
        """Everything that decides a cell's result."""
        return {
            "seeds": self.seeds,
            "budget": self.effort.budget,
            "estimators": [attrs.asdict(estimator) for estimator in self.estimators],
            **description(self.dimensions),
        }

    def run(self, folder: BenchmarkFolder, progress: CellProgress, workers: int = 1) -> bool:
        """Measure the cells that the folder lacks; False if Ctrl-C ended it.

        Args:
            folder: where each cell is kept as soon as it is measured.
            progress: shows how far it is.
            workers: how many processes measure. The results don't depend on it.
        """
        return measure_missing(
            folder,
            list(make_cells(self.dimensions, self.seeds, self.estimators)),
            _key,
            lambda cell: cell.work(self.effort),
            lambda cells: _measured(cells, self.host, self.effort, workers),
            progress,
        )

    def results(self, folder: BenchmarkFolder) -> Results:
        """Sum up the cells that have been measured."""
        wanted = {cell.key for cell in make_cells(self.dimensions, self.seeds, self.estimators)}
        records = [record for record in folder.cells() if _key(record) in wanted]
        rows = summarise(records)
        roles = {estimator.label: estimator.role for estimator in self.estimators}
        known = {
            dimension: references(dimension, self.seeds)
            for dimension in self.dimensions
            if any(row.dimension == dimension for row in rows)
        }
        targets = {}
        for dimension, values in known.items():
            targets[dimension] = {IDEAL: values["ideal"]}
            for row in rows:
                if (row.dimension, row.estimator) == (dimension, EXACT_GUIDANCE):
                    targets[dimension][SAMPLED] = row.cost
        return Results(
            rows=rows,
            roles=roles,
            references=targets,
            unguided={dimension: values["unguided"] for dimension, values in known.items()},
            verdicts=verdicts(rows, roles, targets) if PRINTED in roles else [],
            failures=[_failure(record) for record in records if "failed" in record],
        )


def write_results(
    folder: BenchmarkFolder, results: Results, document: Mapping[str, Any]
) -> list[Path]:
    """Write the JSON and the CSV; returns their paths."""
    content = {
        **document,
        "references": results.references,
        "unguided": results.unguided,
        "verdicts": [
            {**attrs.asdict(verdict), "sentence": verdict.sentence()}
            for verdict in results.verdicts
        ],
        "conclusions": conclusions(results.verdicts),
        "failures": results.failures,
        "rows": [attrs.asdict(row) for row in results.rows],
    }
    write_durably(folder.file(JSON_FILE), to_json(content))
    write_durably(folder.file(CSV_FILE), as_csv(results.rows))
    return [folder.file(JSON_FILE), folder.file(CSV_FILE)]


def draw_results(folder: BenchmarkFolder, results: Results) -> Path:
    """Draw the picture; returns its path."""
    return write_picture(folder.file(PICTURE), results.rows, results.roles, results.references)


def as_csv(rows: Sequence[Row]) -> str:
    """The rows with one column a value, errors of g included."""
    levels = sorted({level for row in rows for level in row.errors}, key=float, reverse=True)
    fields = [field.name for field in attrs.fields(Row) if field.name != "errors"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*fields, *(f"error_{level}" for level in levels)])
    for row in rows:
        errors = [row.errors.get(level, "") for level in levels]
        writer.writerow([*(getattr(row, name) for name in fields), *errors])
    return stream.getvalue()


def _measured(
    cells: Sequence[Cell], host: Host, effort: Effort, workers: int
) -> Generator[dict[str, Any], None, None]:
    """The cells' records in order, from this process or from several."""
    if workers == 1:
        yield from (measure(cell, host, effort) for cell in cells)
        return
    pool = worker_pool(workers, torch.get_num_threads())
    try:
        yield from pool.map(_measure_in_worker, cells, repeat(effort))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _measure_in_worker(cell: Cell, effort: Effort) -> dict[str, Any]:
    return measure(cell, _worker_host(), effort)


@cache
def _worker_host() -> Host:
    """Each process loads the plugins itself: their factories don't travel."""
    return load_plugins(warn=lambda message: None)


def _key(record: Mapping[str, Any]) -> tuple[int, int, str, int]:
    return record["dimension"], record["seed"], record["estimator"], record["samples"]


def _failure(record: Mapping[str, Any]) -> str:
    return (
        f"{record['estimator']} with M {record['samples']}, D {record['dimension']}, seed "
        f"{record['seed']}: {record['failed']}"
    )
