"""A grid: rows of options, each of them run, and one table of what came of them."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from codi_core.errors import CodiError, GridError, UsageError
from codi_core.evaluation.progress import Progress, Silent
from codi_core.evaluation.run_folder import RunFolder
from codi_core.evaluation.waves import Wave
from codi_core.experiments.experiment import Experiment, prepare
from codi_core.experiments.running import Run, standard_progress
from codi_core.experiments.sharing import PATIENCE, ClaimedWave, Share, SharedRun
from codi_core.experiments.table import differing, measured, options_of, to_csv, to_frame
from codi_core.experiments.waves import check, end_waves, run_wave
from codi_core.experiments.working import Here, Watch, work_off
from codi_core.files.durable import to_json, write_durably, writing
from codi_core.files.folders import GRID, claimed
from codi_core.host.registry import unknown_name

RESULTS_JSON, RESULTS_CSV = "results.json", "results.csv"

_LABEL = re.compile(r"\w[\w .,+=()%@-]*")


class Grid:
    """Rows of options of ``codi-run``, and one table of what came of each.

    Every row is a run with a folder of its own, ``OUTPUT/LABEL``. What has finished is kept, wave
    by wave: after an interruption of any kind the same call goes on. Several processes may run the
    same grid, also on several machines that share the folder; each wave is run by one of them.

    Args:
        task: the task's name.
        rows: by label, the options of ``codi-run`` by name, such as ``{"method": "base"}``; the
            task's own options are under "task_options".
        output: the grid's folder.
        shared: options of all rows; those of a row prevail.
        command: what ``config.json`` says that the rows were made by.

    Raises:
        UsageError: an option that doesn't exist, or a value that it refuses; the message names
            the row.
    """

    def __init__(
        self,
        task: str,
        rows: Mapping[str, Mapping[str, Any]],
        *,
        output: Path | str,
        shared: Mapping[str, Any] | None = None,
        command: Sequence[str] = ("codi_core.experiments.Grid",),
    ) -> None:
        self.path = Path(output)
        self.command = tuple(command)
        self._runs = {
            label: SharedRun(
                label,
                _prepared(label, {"task": task, **(shared or {})}, options),
                RunFolder(self.path / label),
            )
            for label, options in _by_name(rows).items()
        }
        self._known: dict[str, tuple[Hashable, dict[str, Any]]] = {}
        if not self._runs:
            raise UsageError("a grid needs rows, and this one has none")

    def run(
        self,
        *,
        only: Iterable[str] | None = None,
        resume: bool = True,
        overwrite: bool = False,
        progress: bool = True,
        executor: Executor | None = None,
        in_flight: int | None = None,
        wait: bool = True,
    ) -> bool:
        """Run what is missing; ``results.json`` and ``results.csv`` follow each wave.

        Mistakes in the options of any row show before anything is run. A row that fails later on
        doesn't keep the others from running.

        Args:
            only: the labels of the rows to run; None stands for all.
            resume: go on with the rows that are there.
            overwrite: remove the rows that are there.
            progress: show how far it is.
            executor: runs the waves, for instance a pool of processes; None runs them here.
            in_flight: how many waves the executor is asked for at once, by default one a
                processor.
            wait: wait for waves that other processes run, and take those that they don't finish.

        Returns:
            Whether all is finished. False after Ctrl-C, or if others go on and ``wait`` is False.

        Raises:
            UsageError: an option of a row names something that doesn't exist or doesn't fit, or
                the folder holds something else.
            GridError: rows could not be run to their end; all others have been.
        """
        chosen = self._chosen(only)
        try:
            _check([run for run in chosen if overwrite or run.missing()], executor or Here())
            with self._claimed():
                pass  # a folder that holds something else is refused before any work
            if overwrite:
                for run in chosen:
                    run.refuse_if_claimed()
            for run in chosen:
                run.prepare(run.experiment.document(self.command), resume, overwrite)
            at_once = 1 if executor is None else in_flight or os.cpu_count() or 1
            display = standard_progress() if progress else Silent()
            return self._work_off(chosen, display, executor, at_once, wait)
        except BrokenExecutor as error:
            raise CodiError(
                "a process that ran episodes has died, perhaps for want of memory; what has "
                "finished is kept, and the same call goes on"
            ) from error

    def _work_off(
        self,
        chosen: Sequence[SharedRun],
        display: Progress,
        executor: Executor | None,
        at_once: int,
        wait: bool,
    ) -> bool:
        watch = Watch(chosen, display)

        def submit(wave: ClaimedWave) -> Future[Wave]:
            row = f"row {wave.run.label}"
            if executor is not None:
                display.wave(0, row)
                return executor.submit(run_wave, **wave.arguments())
            display.wave(len(wave.numbers), row)
            return Here().submit(run_wave, **wave.arguments(), on_tick=display.step)

        def news() -> None:
            if watch.update():
                self.write()

        try:
            with display, Share(chosen) as share:
                watch.begin()
                errors = work_off(share, submit, at_once, wait, news)
                finished = share.finished()
        except KeyboardInterrupt:
            return False
        finally:
            end_waves()
            self.write()
        _raise(errors)
        return finished

    def rows(self) -> list[dict[str, Any]]:
        """One record a row that has begun: its label, the options that differ, what came of it.

        Raises:
            UsageError: a folder holds a run of another configuration than its row has.
        """
        options = {label: options_of(run.experiment) for label, run in self._runs.items()}
        shown = [name for name in differing(list(options.values())) if name != "episodes"]
        return [
            {
                "row": label,
                **{name: options[label].get(name) for name in shown},
                **self._measured(run),
            }
            for label, run in self._runs.items()
            if run.begun()
        ]

    def table(self) -> Any:
        """The rows as a pandas data frame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return to_frame(self.rows())

    def write(self) -> None:
        """Write ``results.json`` and ``results.csv`` as far as the rows have come."""
        options = [options_of(run.experiment) for run in self._runs.values()]
        apart = {*differing(options), "episodes"}
        with self._claimed(), writing(self.path, "grid"):
            # Read while nobody else writes: the last one to write knows of all waves.
            records = self.rows()
            shared = {name: value for name, value in options[0].items() if name not in apart}
            document = {"shared": shared, "rows": records}
            write_durably(self.path / RESULTS_JSON, to_json(document))
            write_durably(self.path / RESULTS_CSV, to_csv(records))

    def _claimed(self) -> AbstractContextManager[None]:
        """The folder, for a moment: its rows have claims of their own."""
        own = (RESULTS_JSON, RESULTS_CSV)
        return claimed(self.path, GRID, resume=True, own=own, patience=PATIENCE)

    def _measured(self, run: SharedRun) -> dict[str, Any]:
        """What came of a run; it is summed up anew when a wave has been added."""
        state = run.state()
        if self._known.get(run.label, (None,))[0] != state:
            self._known[run.label] = state, measured(Run(run.experiment, run.folder))
        return self._known[run.label][1]

    def _chosen(self, only: Iterable[str] | None) -> list[SharedRun]:
        labels = list(self._runs if only is None else only)
        for label in labels:
            if label not in self._runs:
                raise unknown_name("row", label, self._runs)
        return [run for label, run in self._runs.items() if label in labels]


def _prepared(label: object, shared: Mapping[str, Any], options: Mapping[str, Any]) -> Experiment:
    """A row's experiment."""
    text = label if isinstance(label, str) else ""
    if not _LABEL.fullmatch(text) or text in (RESULTS_JSON, RESULTS_CSV):
        raise UsageError(
            f"row {label!r}: its label names a folder, so it is a text that begins with "
            "a letter or a digit and has letters, digits, spaces and . , + = ( ) % @ - _ alone"
        )
    try:
        given = {**shared, **_by_name(options)}
        given["task_options"] = {
            **_by_name(shared.get("task_options", {})),
            **_by_name(options.get("task_options", {})),
        }
        return prepare(**given)
    except CodiError as error:
        raise UsageError(f"row '{label}': {error}") from error


def _by_name(options: Any) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise UsageError(f"options are values by name, not {options!r}")
    return options


def _check(runs: Sequence[SharedRun], executor: Executor) -> None:
    """Make the parts of all rows where waves will run, so that mistakes show at once."""
    asked = {run.label: executor.submit(check, run.configuration) for run in runs}
    for label, future in asked.items():
        try:
            future.result()
        except CodiError as error:
            raise UsageError(f"row '{label}': {error}") from error


def _raise(errors: Mapping[str, Exception]) -> None:
    """Raise what ended rows before their time."""
    texts, codes = [], []
    for label, error in errors.items():
        if not isinstance(error, CodiError):
            error.add_note(f"in row '{label}' of a grid")
            raise error
        texts.append(f"row '{label}' stopped: {error}")
        codes.append(error.exit_code)
    if texts:
        failed = GridError("; ".join(texts))
        failed.exit_code = max(codes)
        raise failed from next(iter(errors.values()))
