"""The study from its first cell to its files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from codi_baselines.folder import BenchmarkFolder
from codi_baselines.locality.cells import (
    AGENTS,
    HOPS,
    SAMPLES,
    STIFFNESS,
    Cell,
    Sweeps,
    make_cells,
    measure,
)
from codi_baselines.measuring import measure_missing
from codi_baselines.progress import CellProgress
from codi_core.files.durable import to_json, write_durably

JSON_FILE, CSV_FILE, PICTURE = "locality.json", "locality.csv", "locality.png"
RESULTS = (JSON_FILE, CSV_FILE, PICTURE)

Record = Mapping[str, Any]


@attrs.frozen
class Study:
    """What is measured.

    Attributes:
        sweeps: what is varied.
    """

    sweeps: Sweeps

    def configuration(self) -> dict[str, Any]:
        """Everything that decides a cell's result."""
        return {
            **attrs.asdict(self.sweeps),
            "hops": HOPS,
            "middle": {"agents": AGENTS, "stiffness": STIFFNESS, "samples": SAMPLES},
        }

    def run(self, folder: BenchmarkFolder, progress: CellProgress) -> bool:
        """Measure the cells that the folder lacks; False if Ctrl-C ended it."""
        return measure_missing(
            folder,
            list(make_cells(self.sweeps)),
            key_of,
            lambda cell: cell.work,
            lambda cells: (measure(cell, self.sweeps.repeats) for cell in cells),
            progress,
        )

    def records(self, folder: BenchmarkFolder) -> list[Record]:
        """The cells that have been measured, in the study's order."""
        found = {key_of(record): record for record in folder.cells()}
        return [found[cell.key] for cell in make_cells(self.sweeps) if cell.key in found]


def key_of(record: Record) -> tuple[Any, ...]:
    """Names the cell of a record."""
    return tuple(record[field.name] for field in attrs.fields(Cell))


def write_results(
    folder: BenchmarkFolder, records: Sequence[Record], document: Mapping[str, Any]
) -> list[Path]:
    """Write the JSON and the CSV; returns their paths."""
    write_durably(folder.file(JSON_FILE), to_json({**document, "rows": records}))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {**row, "hops": "all" if row["hops"] is None else row["hops"]} for row in records
    )
    write_durably(folder.file(CSV_FILE), stream.getvalue())
    return [folder.file(JSON_FILE), folder.file(CSV_FILE)]
