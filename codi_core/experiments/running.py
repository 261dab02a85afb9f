"""Runs an experiment into a run folder, and reads what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.evaluation.metrics import run_metrics
from codi_core.evaluation.progress import Progress, make_progress
from codi_core.evaluation.run_folder import FREE_FIELDS, OWN_FILES, RunFolder
from codi_core.evaluation.runner import run_missing
from codi_core.evaluation.waves import OnTick, Wave
from codi_core.experiments.experiment import Experiment, from_config, prepare
from codi_core.files.folders import RUN, claimed
from codi_core.files.pictures import save_figure
from codi_core.tasks import EpisodeRecord, Renderer, Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from codi_core.evaluation.recorder import Recorder
    from codi_core.evaluation.video import Frame

TRACED = 4
"""The events of this many episodes, the first ones, are kept for pictures, and of one failure."""


@attrs.frozen(eq=False)
class Run:
    """A run: the experiment, and the folder that holds what came of it.

    Attributes:
        experiment: what was run.
        folder: the run folder.
        finished: whether all episodes have been run; False after Ctrl-C.
    """

    experiment: Experiment
    folder: RunFolder
    finished: bool = True

    @property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``, for the episodes that have finished."""
        return run_metrics(
            attrs.asdict(self.experiment.config, recurse=False),
            self.episodes,
            self.folder.waves(),
            self.experiment.opened.parts.metrics,
        )

    @property
    def episodes(self) -> list[EpisodeRecord]:
        """The finished episodes' records, by their numbers."""
        wanted = self.experiment.config.episodes
        return [record for record in self.folder.records() if record["episode"] < wanted]

    @property
    def traces(self) -> dict[int, Trace]:
        """The events of the episodes that were kept, by their numbers."""
        return self.folder.traces()

    def figure(self) -> Figure:
        """The report as a matplotlib figure.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from codi_core.evaluation import report

        return report.make_report(
            self.metrics,
            self.episodes,
            self.folder.waves(),
            float(self.experiment.config.max_seconds or 0.0),
            self.experiment.opened.parts.renderer,
            self.traces,
        )

    def write_report(self) -> Path:
        """Write ``report.png``; returns its path."""
        return save_figure(self.figure(), self.folder.file("report.png"), dpi=120)

    def write_video(self, episodes: Iterable[int] = (), name: str = "video.mp4") -> Path | None:
        """Write a video of these episodes into the folder; returns its path.

        An episode is shown up to three seconds after its success, with a caption. None if the
        task has no pictures, or no events of these episodes were kept.

        Args:
            episodes: their numbers; none stand for those of :meth:`shown`.
            name: of the file.

        Raises:
            PictureError: no video can be made here.
        """
        from codi_core.evaluation.video import write_video

        parts, traces = self.experiment.opened.parts, self.traces
        chosen = [n for n in sorted(set(episodes) or self.shown(traces)) if n in traces]
        if parts.renderer is None or not chosen:
            return None
        frames = chain.from_iterable(
            self._film(parts.renderer, number, traces[number]) for number in chosen
        )
        return write_video(self.folder.file(name), frames, parts.rate_hz)

    def shown(self, kept: Collection[int]) -> list[int]:
        """Of the kept episodes the first success and the first failure: what a run looks like.

        Args:
            kept: the numbers of the episodes whose events were kept.
        """
        records = [record for record in self.episodes if record["episode"] in kept]
        succeeded = [record["episode"] for record in records if record["success"]]
        failed = [record["episode"] for record in records if not record["success"]]
        return sorted([*succeeded[:1], *failed[:1]])

    def _film(self, renderer: Renderer, number: int, trace: Trace) -> Iterator[Frame]:
        from codi_core.evaluation.captions import Caption

        parts = self.experiment.opened.parts
        caption = Caption.of(self.folder, number, trace, parts.rate_hz, parts.remark)
        return caption.under(islice(renderer.frames(trace), caption.steps()))


def run(
    task: str,
    *,
    output: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    task_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    record: Path | str | None = None,
    **options: Any,
) -> Run:
    """Run a task in closed loop and measure it, as ``codi-run`` does.

    Args:
        task: the task's name.
        output: the run folder; None stands for ``runs/TASK-METHOD-TIME``.
        resume: go on with the run that is there.
        overwrite: remove the run that is there.
        task_options: values of the task's own options by name.
        progress: show how far the run is.
        record: keep what is executed as a data set in this folder.
        options: the options of ``codi-run`` by name: ``method="codi"``, ``episodes=8``,
            ``seed=1``, …

    Raises:
        CodiError: an option or a part is not as it must be.
    """
    from codi_core.evaluation.progress import Silent

    experiment = prepare(task, task_options, **options)
    folder = RunFolder(default_output(experiment) if output is None else Path(output))
    shown = standard_progress() if progress else Silent()
    document = experiment.document(["codi_core.experiments.run", task])
    return run_experiment(
        experiment,
        folder,
        document,
        shown,
        resume,
        overwrite,
        record=None if record is None else Path(record),
    )


def run_experiment(
    experiment: Experiment,
    folder: RunFolder,
    document: Mapping[str, Any],
    progress: Progress,
    resume: bool = False,
    overwrite: bool = False,
    traced: frozenset[int] = frozenset(),
    afterwards: Callable[[Run], object] | None = None,
    delays: Mapping[int, Sequence[float]] | None = None,
    record: Path | None = None,
) -> Run:
    """Run what is missing in the folder and write ``metrics.json``.

    Args:
        experiment: what is run.
        folder: where it is written.
        document: the content of ``config.json``.
        progress: is told how far the run is.
        resume: go on with the run that is there.
        overwrite: remove the run that is there.
        traced: episodes whose events are kept, besides the first :data:`TRACED`.
        afterwards: called with the run while no other process can write the folder.
        delays: by episode, the measured delays of an earlier run's plans, to replay them.
        record: where what is executed is kept as a data set, or None.
    """
    config, kept = experiment.config, frozenset(range(TRACED)) | traced

    def run_wave(numbers: Sequence[int], on_tick: OnTick) -> Wave:
        return runner.run(numbers, kept, on_tick)

    with (
        experiment.wave_runner(delays) as runner,
        claimed(folder.path, RUN, resume=resume, overwrite=overwrite, own=OWN_FILES),
        _recorder(experiment, record, folder, resume, overwrite) as runner.recorder,
    ):
        folder.prepare(document, resume, overwrite, runner.delays)
        runner.delays = folder.replayed_delays()
        runner.begun = bool(folder.records())
        runner.keep_failure = all(record["success"] for record in folder.records())
        finished = run_missing(
            folder,
            config.episodes,
            config.worlds or 1,
            runner.loop.settings.steps,
            run_wave,
            progress,
        )
        done = Run(experiment, folder, finished)
        folder.write_metrics(done.metrics)
        if afterwards is not None:
            afterwards(done)
    return done


def _recorder(
    experiment: Experiment, record: Path | None, folder: RunFolder, resume: bool, overwrite: bool
) -> AbstractContextManager[Recorder | None]:
    """What keeps the executed steps, if they are to be kept."""
    if record is None:
        return nullcontext()
    from codi_core.evaluation.recorder import RecordedTask, Recorder

    opened, config = experiment.opened, attrs.asdict(experiment.config, recurse=False)
    offer = next(iter(opened.parts.policies.values()), None)
    task = RecordedTask(
        opened.name,
        tuple(opened.parts.agents),
        () if offer is None else offer.action_names,
        opened.parts.rate_hz,
        opened.parts.ragged,
    )
    return Recorder(
        record,
        task,
        {name: value for name, value in config.items() if name not in FREE_FIELDS},
        done={record["episode"] for record in folder.records()} if resume else (),
        resume=resume,
        overwrite=overwrite,
    )


def read_run(path: Path | str) -> Run:
    """The run in a run folder.

    Raises:
        UsageError: the folder holds none.
    """
    folder = RunFolder(Path(path))
    experiment = from_config(folder.config()["configuration"])
    done = len(Run(experiment, folder).episodes)
    return Run(experiment, folder, done >= experiment.config.episodes)


def default_output(experiment: Experiment) -> Path:
    """The run folder ``runs/TASK-METHOD-TIME``."""
    config = experiment.config
    method = str(config.method).partition(":")[0]
    return Path("runs") / f"{config.task}-{method}-{time.strftime('%Y%m%d-%H%M%S')}"


def standard_progress() -> Progress:
    """A display on standard error: live on a terminal, lines elsewhere."""
    from rich.console import Console

    return make_progress(Console(stderr=True))
