"""Measures the cells of a benchmark that have not been measured."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar

from codi_baselines.folder import BenchmarkFolder
from codi_baselines.progress import CellProgress

Record = Mapping[str, Any]


class Measurable(Protocol):
    """A cell of a benchmark."""

    @property
    def key(self) -> Hashable:
        """What tells it from all others."""

    @property
    def title(self) -> str:
        """What progress shows."""


Cell = TypeVar("Cell", bound=Measurable)


def measure_missing(
    folder: BenchmarkFolder,
    cells: Sequence[Cell],
    key_of: Callable[[Record], Hashable],
    work: Callable[[Cell], float],
    measure: Callable[[Sequence[Cell]], Generator[Record, None, None]],
    progress: CellProgress,
) -> bool:
    """Measure the cells that a folder lacks.

    Args:
        folder: where each cell is kept as soon as it is measured.
        cells: all cells, in the order in which they are measured.
        key_of: the key of a record's cell.
        work: about how long a cell takes, in any unit.
        measure: measures cells; a generator of their records in order.
        progress: shows how far it is.

    Returns:
        Whether all are measured; False after Ctrl-C.
    """
    there = {key_of(record) for record in folder.cells()}
    missing = [cell for cell in cells if cell.key not in there]
    total = sum(work(cell) for cell in cells)
    done = total - sum(work(cell) for cell in missing)
    try:
        with progress, closing(measure(missing)) as records:
            for cell in missing:
                progress.show(done / total, cell.title)
                folder.commit(next(records))
                done += work(cell)
    except KeyboardInterrupt:
        return False
    return True
