"""A benchmark's folder: what is measured, and the cells that have been."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.errors import UsageError
from codi_core.files.durable import append_lines, read_lines, to_json, write_durably, writing
from codi_core.files.folders import BENCHMARK, claimed

if TYPE_CHECKING:
    from codi_core.host.plugins import Host

CONFIG, CELLS = "config.json", "cells.jsonl"


@attrs.frozen
class BenchmarkFolder:
    """The folder that a benchmark writes into.

    Attributes:
        path: where it is.
        results: the names of the files that the cells are summed up in.
    """

    path: Path
    results: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the files that a benchmark writes."""
        return (CONFIG, CELLS, *self.results)

    def file(self, name: str) -> Path:
        """The path of one of the benchmark's files."""
        return self.path / name

    @contextmanager
    def claimed(
        self, document: Mapping[str, Any], resume: bool = False, overwrite: bool = False
    ) -> Iterator[None]:
        """Keep the folder for this process, and :meth:`prepare` it."""
        with claimed(self.path, BENCHMARK, resume=resume, overwrite=overwrite, own=self.own):
            self.prepare(document, resume, overwrite)
            yield

    def prepare(
        self, document: Mapping[str, Any], resume: bool = False, overwrite: bool = False
    ) -> None:
        """Make the folder ready and write ``config.json``.

        Args:
            document: the content of ``config.json``; what decides a cell's result is under
                "configuration".
            resume: go on with the benchmark that is there.
            overwrite: remove the benchmark that is there.

        Raises:
            UsageError: the folder can't be written, holds a benchmark already, or holds one of
                another configuration.
        """
        with writing(self.path):
            if overwrite:
                for name in self.own:
                    self.file(name).unlink(missing_ok=True)
            if self.file(CONFIG).exists():
                self._check_same(document, resume)
            write_durably(self.file(CONFIG), to_json(document))

    def commit(self, cell: Mapping[str, Any]) -> None:
        """Keep a measured cell, durably."""
        append_lines(self.file(CELLS), [cell])

    def cells(self) -> list[dict[str, Any]]:
        """The measured cells in the order in which they were measured."""
        return read_lines(self.file(CELLS))

    def _check_same(self, document: Mapping[str, Any], resume: bool) -> None:
        if not resume:
            raise UsageError(
                f"'{self.path}' already holds a benchmark ({len(self.cells())} cells): --resume "
                "goes on with it, --overwrite removes it, --output chooses another folder"
            )
        try:
            there = json.loads(self.file(CONFIG).read_text(encoding="utf-8"))["configuration"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"'{self.file(CONFIG)}' is damaged: {error}") from error
        # Through JSON, so that tuples compare with the lists that were written.
        here = json.loads(to_json(document["configuration"]))
        for name in sorted({*there, *here}):
            if there.get(name) != here.get(name):
                raise UsageError(
                    f"cannot resume '{self.path}': {name} was {json.dumps(there.get(name))} and "
                    f"is now {json.dumps(here.get(name))}; give the same options, or another "
                    "--output"
                )


def document_of(
    configuration: Mapping[str, Any], host: Host, command: Sequence[str]
) -> dict[str, Any]:
    """The content of ``config.json``.

    Args:
        configuration: everything that decides a cell's result.
        host: what is installed.
        command: what was typed.
    """
    from codi_core.experiments import provenance

    return {
        "configuration": configuration,
        "command": list(command),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": provenance.versions(host),
        "machine": provenance.machine(),
    }
