"""Runs episodes of a run again as they were: to film them, or to keep their events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from codi_core.errors import EpisodeError, UsageError
from codi_core.evaluation.progress import Progress, Silent
from codi_core.evaluation.run_folder import OWN_FILES, RunFolder
from codi_core.evaluation.waves import Wave
from codi_core.experiments.running import Run, read_run, standard_progress
from codi_core.files.durable import to_json
from codi_core.files.folders import RUN, claimed
from codi_core.tasks import EpisodeRecord


def replay(run: Run | Path | str, episodes: Iterable[int], progress: bool = True) -> Run:
    """Run episodes of a run again and keep their events, as ``codi-run --only`` does.

    Each is run beside those of its original wave, because rounding may depend on them. Their
    records stay what they are; what changes is ``run.traces``.

    Args:
        run: the run, or its folder.
        episodes: their numbers.
        progress: show how far it is.

    Raises:
        UsageError: an episode hasn't been run yet, or the run was one of hardware.
        EpisodeError: an episode came out otherwise than its record says.
    """
    made = run if isinstance(run, Run) else read_run(run)
    replay_run(made, sorted(set(episodes)), standard_progress() if progress else Silent())
    return made


def replay_run(run: Run, episodes: Sequence[int], progress: Progress) -> None:
    """As :func:`replay`, told about by a display of one's own."""
    folder, experiment = run.folder, run.experiment
    if experiment.config.driver is not None:
        raise UsageError(f"'{folder.path}' is a run of hardware, whose episodes don't repeat")
    waves = original_waves(folder, episodes)
    records = {record["episode"]: record for record in folder.records()}
    with (
        experiment.wave_runner(folder.delays()) as runner,
        claimed(folder.path, RUN, resume=True, own=OWN_FILES),
        progress,
    ):
        folder.check_resumable(experiment.document([]))
        runner.begun = True
        progress.begin(sum(map(len, waves)), runner.loop.settings.steps, [])
        for numbers in waves:
            wanted = frozenset(episodes).intersection(numbers)
            progress.wave(len(numbers))
            wave = runner.run(numbers, wanted, progress.step)
            _check_repeated(folder, wave, wanted, records)
            for number, trace in wave.traces.items():
                folder.save_trace(number, trace)
            progress.finished(wave.records)


def original_waves(folder: RunFolder, episodes: Sequence[int]) -> list[list[int]]:
    """The numbers of the waves in which a run's episodes were run.

    Raises:
        UsageError: one of the episodes hasn't been run.
    """
    waves = [wave["episodes"] for wave in folder.waves()]
    missing = set(episodes).difference(*waves)
    if missing:
        listed = ", ".join(map(str, sorted(missing)))
        done = sum(map(len, waves))
        raise UsageError(
            f"'{folder.path}' has no episode {listed}: it has {done} finished ones, numbered from 0"
        )
    return [wave for wave in waves if not set(episodes).isdisjoint(wave)]


def _check_repeated(
    folder: RunFolder, wave: Wave, wanted: Iterable[int], records: dict[int, EpisodeRecord]
) -> None:
    """Check that episodes are what they were, but for what another version doesn't tell of them."""
    found = {record["episode"]: json.loads(to_json(record)) for record in wave.records}
    for number in sorted(wanted):
        before, now = records[number], found[number]
        for name in sorted(before.keys() & now.keys()):
            if not _same(before[name], now[name]):
                raise EpisodeError(
                    f"episode {number} came out otherwise than in '{folder.path}', so nothing of "
                    f"it was kept: {name} was {before[name]} and is now {now[name]}. The run was "
                    "made on another kind of processor or with other versions, see its "
                    "config.json, or its plans had to be ready in time"
                )


def _same(before: Any, now: Any) -> bool:
    return bool(before == now or (before != before and now != now))  # NaN is not equal to itself
