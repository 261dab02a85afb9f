"""Waves of several runs, shared by processes: whoever claims a wave runs it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import attrs
from filelock import BaseFileLock

from codi_core.errors import UsageError
from codi_core.evaluation.run_folder import OWN_FILES, RunFolder
from codi_core.evaluation.waves import Wave
from codi_core.experiments.experiment import Experiment
from codi_core.experiments.running import TRACED, Run
from codi_core.files.durable import to_json
from codi_core.files.folders import RUN, claim, claimed, exclusive
from codi_core.tasks import EpisodeRecord

CLAIMS = ".claims"
"""The folder of a run's lock files: one a wave, and one of the process that began the run."""

PATIENCE = 60.0
"""How long a process waits while another one writes the same folder [s]."""


@attrs.define(eq=False, slots=False)
class SharedRun:
    """A run whose waves several processes may run at once.

    Its episodes are divided into waves by their numbers alone, so that all processes mean the same
    ones, and an interrupted wave is run again as it was.

    Attributes:
        label: what messages call it.
        experiment: what is run.
        folder: the run folder.
    """

    label: str
    experiment: Experiment
    folder: RunFolder
    _read: tuple[Any, list[EpisodeRecord]] = attrs.field(default=(None, []), init=False)

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """The resolved options as ``config.json`` holds them: what other processes are sent."""
        values = attrs.asdict(self.experiment.config, recurse=False)
        return dict(json.loads(to_json(values)))

    def prepare(
        self, document: Mapping[str, Any], resume: bool = True, overwrite: bool = False
    ) -> None:
        """Make the run folder ready, see :meth:`RunFolder.prepare`."""
        with claimed(
            self.folder.path,
            RUN,
            resume=resume,
            overwrite=overwrite,
            own=OWN_FILES,
            patience=PATIENCE,
        ):
            self.folder.prepare(document, resume, overwrite)

    def begun(self) -> bool:
        """Whether the run folder is there.

        Raises:
            UsageError: it holds a run of another configuration.
        """
        if not self.folder.file("config.json").exists():
            return False
        self.folder.check_same(self.configuration)
        return True

    def refuse_if_claimed(self) -> None:
        """Check that no process is running a wave.

        Raises:
            UsageError: one is.
        """
        for path in self._claims.glob("*.lock"):
            lock = claim(path)
            if lock is None:
                raise UsageError(
                    f"another process is running '{self.folder.path}': wait for its end or stop "
                    "it, or choose another folder with --output"
                )
            lock.release()

    def records(self) -> list[EpisodeRecord]:
        """The finished episodes' records by number, whoever has run them."""
        state = self.state()
        if state != self._read[0]:
            self._read = state, self.folder.records()
        wanted = self.experiment.config.episodes
        return [record for record in self._read[1] if record["episode"] < wanted]

    def state(self) -> Hashable:
        """Something that changes whenever a wave is added."""
        paths = [self.folder.file(name) for name in ("episodes.jsonl", "waves.jsonl")]
        stats = [path.stat() for path in paths if path.exists()]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)

    def missing(self) -> dict[int, tuple[int, ...]]:
        """The episodes that have not been finished, by the number of their wave."""
        episodes, worlds = self.experiment.config.episodes, self.experiment.config.worlds or 1
        done = {record["episode"] for record in self.records()}
        waves: dict[int, tuple[int, ...]] = {}
        for number in range(episodes):
            if number not in done:
                waves[number // worlds] = (*waves.get(number // worlds, ()), number)
        return waves

    def claim_lead(self) -> BaseFileLock | None:
        """Become the process that began the run; None if there is another one, which lives."""
        return claim(self._claims / "run.lock")

    def claim_wave(self) -> ClaimedWave | None:
        """Claim the first missing wave that nobody has claimed; None if there is none."""
        for wave in self.missing():
            lock = claim(self._claims / f"wave-{wave}.lock")
            if lock is None:
                continue
            # Its former owner may have finished it just now.
            numbers = self.missing().get(wave)
            if numbers is not None:
                return ClaimedWave(self, numbers, lock)
            lock.release()
        return None

    def keep(self, wave: Wave) -> None:
        """Add a wave that was run to the run folder."""
        with exclusive(self.folder.path, PATIENCE):
            done = {record["episode"] for record in self.records()}
            # codi-run --resume doesn't know of claims: it may have been here.
            if done.isdisjoint(record["episode"] for record in wave.records):
                for number, trace in wave.traces.items():
                    self.folder.save_trace(number, trace)
                self.folder.commit(wave.summary, wave.records)
            self.folder.write_metrics(Run(self.experiment, self.folder).metrics)

    @property
    def _claims(self) -> Path:
        return self.folder.path / CLAIMS


@attrs.frozen(eq=False)
class ClaimedWave:
    """A wave that this process runs, or has run for it.

    Attributes:
        run: the run that it belongs to.
        numbers: its episodes.
        lock: keeps others from running it.
    """

    run: SharedRun
    numbers: tuple[int, ...]
    lock: BaseFileLock

    def arguments(self) -> dict[str, Any]:
        """What :func:`run_wave` is called with."""
        return {
            "configuration": self.run.configuration,
            "numbers": self.numbers,
            "traced": tuple(range(TRACED)),
            "begun": bool(self.run.records()),
        }


class Share:
    """This process's share of the waves of several runs; a context manager, which ends its claims.

    It begins runs that nobody works on, and then helps with those that others have begun.

    Args:
        runs: the runs, those to be run first in front.
    """

    def __init__(self, runs: Sequence[SharedRun]) -> None:
        self._runs = list(runs)
        self._leads: dict[str, BaseFileLock] = {}
        self._waves: list[ClaimedWave] = []

    def take(self) -> ClaimedWave | None:
        """Claim a wave; None if all are finished or claimed."""
        for helping in (False, True):
            for run in self._runs:
                wave = run.claim_wave() if helping or self._leads_in(run) else None
                if wave is not None:
                    self._waves.append(wave)
                    return wave
        return None

    def finished(self) -> bool:
        """Whether no episode is missing, in no run."""
        return not any(run.missing() for run in self._runs)

    def release(self, wave: ClaimedWave) -> None:
        """End the claim of a wave."""
        self._waves.remove(wave)
        wave.lock.release()

    def leave_out(self, run: SharedRun) -> None:
        """Take no more waves of a run."""
        self._runs.remove(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for lock in (*self._leads.values(), *(wave.lock for wave in self._waves)):
            lock.release()

    def _leads_in(self, run: SharedRun) -> bool:
        if not run.missing():
            if run.label in self._leads:
                self._leads.pop(run.label).release()
            return False
        if run.label not in self._leads and (lock := run.claim_lead()) is not None:
            self._leads[run.label] = lock
        return run.label in self._leads
