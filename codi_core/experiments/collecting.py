"""Collects a task's demonstrations into a data set, wave by wave, so that it can be resumed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

from codi_core.data import DatasetWriter
from codi_core.errors import CodiError, UsageError
from codi_core.evaluation import recorder
from codi_core.evaluation.progress import Progress
from codi_core.experiments import provenance
from codi_core.experiments.collection_settings import (
    DOCUMENT,
    CollectionSettings,
    differing,
    read_document,
    same,
)
from codi_core.files.durable import to_json, write_durably
from codi_core.files.interrupts import uninterrupted
from codi_core.host.assembly import OpenTask
from codi_core.host.choices import make_part
from codi_core.resources import Resources
from codi_core.tasks import Demonstrator, EpisodeKey, EpisodeRecord

GIVE_UP = 3
"""Collecting ends if it takes this many times as many attempts as demonstrations."""


class Collection:
    """A collection: demonstrations until there are enough of them; a context manager.

    What has finished is in the data set after each wave, and nothing else can write there until
    the end.

    Args:
        opened: the task, with the options that its demonstrations depend on.
        settings: how many, and how.
        folder: the data set.
        command: what was typed, for the record.
        overwrite: replace a data set that is there, as soon as there are demonstrations.
        resume: go on with a collection that is there.

    Raises:
        UsageError: the task has no demonstrations, the folder can't be written or holds something
            else, or a collection of other settings.
    """

    def __init__(
        self,
        opened: OpenTask,
        settings: CollectionSettings,
        folder: Path,
        command: Sequence[str],
        *,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude one another")
        self.opened, self.settings, self.folder = opened, settings, folder
        self.command = list(command)
        self.demonstrator = _demonstrator(opened, settings)
        seconds = self._check_same() if resume else 0.0
        self.writer = DatasetWriter(
            folder,
            self.demonstrator.features,
            opened.parts.rate_hz,
            self.demonstrator.robot_type,
            overwrite=overwrite,
            resume=resume,
            accept=self._accept,
            repeatable=True,
        )
        self._unkept: list[EpisodeRecord] = []
        notes = self.writer.notes
        self.records: list[EpisodeRecord] = [record for note in notes for record in note["records"]]
        self.seconds = seconds
        if notes:
            self._write_document()

    @property
    def written(self) -> int:
        """How many demonstrations are in the data set."""
        return sum(bool(record["frames"]) for record in self.records)

    @property
    def frames(self) -> int:
        """How many frames they have."""
        return sum(record["frames"] for record in self.records)

    def run(self, progress: Progress) -> bool:
        """Collect what is missing.

        Returns:
            False if a KeyboardInterrupt ended it early. The waves that had finished by then are
            in the data set.

        Raises:
            CodiError: too many attempts gave no demonstration.
        """
        with progress:
            progress.begin(self.settings.episodes, 1, _counted(self.records))
            try:
                while self.written < self.settings.episodes:
                    self._wave(progress)
            except KeyboardInterrupt:
                return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.discard()

    def _wave(self, progress: Progress) -> None:
        attempts, missing = len(self.records), self.settings.episodes - self.written
        if attempts >= GIVE_UP * self.settings.episodes + self.settings.worlds:
            raise CodiError(
                f"only {self.written} of {attempts} attempts gave a demonstration: giving up"
            )
        count, began = min(self.settings.worlds, missing), time.monotonic()
        keys = [EpisodeKey(self.settings.seed, attempts + world) for world in range(count)]
        progress.wave(count)
        fresh = self.demonstrator.collect(keys, self.writer)
        records = [
            {"episode": key.episode, **record} for key, record in zip(keys, fresh, strict=True)
        ]
        with uninterrupted():
            self._keep(records, time.monotonic() - began)
        progress.finished(_counted(records))

    def _keep(self, records: list[EpisodeRecord], seconds: float) -> None:
        """Keep a wave: with its frames, what is known of it, so that neither is there alone."""
        fresh = [*self._unkept, *records]
        self.writer.commit({"settings": self._noted(), "records": fresh})
        self._unkept = [] if any(record["frames"] for record in fresh) else fresh
        self.records += records
        self.seconds += seconds
        if self.written:
            # Of a recording, which the first frames have replaced.
            (self.folder / recorder.DOCUMENT).unlink(missing_ok=True)
        self._write_document()

    def _noted(self) -> dict[str, Any]:
        """The settings that stand with the frames: with the same ones the bytes are the same."""
        free = ("threads", "physics_threads")
        return {name: value for name, value in self._settings().items() if name not in free}

    def _write_document(self) -> None:
        content = {
            **self._settings(),
            "command": self.command,
            "seconds": round(self.seconds, 1),
            "versions": provenance.versions(self.opened.host),
            "machine": provenance.machine(),
            "demonstrations": self.records,
        }
        write_durably(self.folder / DOCUMENT, to_json(content))

    def _settings(self) -> dict[str, Any]:
        """What the demonstrations are made with, as JSON has it: tuples are lists there."""
        names = attrs.fields_dict(self.opened.task.CollectionOptions)
        content = {
            "task": self.opened.name,
            "task_options": {name: getattr(self.opened.options, name) for name in names},
            **attrs.asdict(self.settings),
        }
        return dict(json.loads(to_json(content)))

    def _check_same(self) -> float:
        """Check that what is there was made with the same settings; how long that took [s].

        Raises:
            UsageError: there is nothing, or it was made with others.
        """
        here, there = self._settings(), read_document(self.folder)
        for name in differing(here, there):
            raise UsageError(
                f"cannot resume '{self.folder}': {name} was {json.dumps(there.get(name))} and is "
                f"now {json.dumps(here[name])}; give the same options, or another --output"
            )
        seconds = there.get("seconds")
        return float(seconds) if isinstance(seconds, int | float) else 0.0

    def _accept(self, note: Any) -> bool:
        return isinstance(note, dict) and same(note.get("settings", {}), self._settings())


def _demonstrator(opened: OpenTask, settings: CollectionSettings) -> Demonstrator:
    parts = opened.parts
    make = parts.joint_demonstrator if settings.joint else parts.demonstrator
    if make is None:
        what = "joint demonstrations" if settings.joint else "demonstrations"
        raise UsageError(f"task '{opened.name}' has no {what} to collect")
    threads = settings.physics_threads or os.cpu_count() or 1
    resources = Resources(threads=threads, seed=settings.seed)
    what = f"the demonstrator of task '{opened.name}'"
    demonstrator: Demonstrator = make_part(make, what, resources, kind=Demonstrator)
    return demonstrator


def _counted(records: Sequence[EpisodeRecord]) -> list[EpisodeRecord]:
    """The attempts that gave a demonstration."""
    return [record for record in records if record["frames"]]
