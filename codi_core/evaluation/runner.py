"""Runs the episodes that a run folder lacks, and keeps each finished wave at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from codi_core.evaluation.progress import Progress
from codi_core.evaluation.run_folder import RunFolder
from codi_core.evaluation.waves import OnTick, Wave
from codi_core.files.interrupts import uninterrupted
from codi_core.tasks import EpisodeRecord

RunWave = Callable[[Sequence[int], OnTick], Wave]
"""Runs the episodes with these numbers at once, here or elsewhere."""


def run_missing(
    folder: RunFolder,
    episodes: int,
    worlds: int,
    steps: int,
    run_wave: RunWave,
    progress: Progress,
) -> bool:
    """Run the episodes that the folder lacks, wave by wave.

    Args:
        folder: where finished waves go.
        episodes: how many episodes the run has, numbered from 0.
        worlds: how many run at once. It changes no episode, or hardly: by the rounding of sums that
            depends on how many rows there are.
        steps: the number of control steps of an episode.
        run_wave: runs a wave.
        progress: is told how far the run is.

    Returns:
        False if a KeyboardInterrupt ended the run early. Waves that had finished by then are
        in the folder.
    """
    records = folder.records()
    pending = _missing(range(episodes), records)
    with progress:
        progress.begin(episodes, steps, records)
        try:
            for numbers in _batches(pending, worlds):
                progress.wave(len(numbers))
                wave = run_wave(numbers, progress.step)
                with uninterrupted():
                    for number, trace in wave.traces.items():
                        folder.save_trace(number, trace)
                    folder.commit(wave.summary, wave.records)
                progress.finished(wave.records)
        except KeyboardInterrupt:
            return False
    return True


def _missing(numbers: Iterable[int], records: Iterable[EpisodeRecord]) -> list[int]:
    done = {record["episode"] for record in records}
    return [number for number in numbers if number not in done]


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
