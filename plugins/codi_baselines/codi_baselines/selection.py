"""Which rows of a comparison were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from codi_core.host.registry import unknown_name


class Labelled(Protocol):
    """A row of a comparison."""

    @property
    def label(self) -> str:
        """Its name in tables and on the command line."""


Row = TypeVar("Row", bound=Labelled)


def select(what: str, rows: Sequence[Row], labels: Sequence[str] | None) -> tuple[Row, ...]:
    """The rows of the given labels, in the order of the comparison, or all.

    Raises:
        UsageError: there is none of a label; the message lists the valid ones, nearest first.
    """
    every = {row.label: row for row in rows}
    for label in labels or ():
        if label not in every:
            raise unknown_name(what, label, every)
    return tuple(row for label, row in every.items() if labels is None or label in labels)
