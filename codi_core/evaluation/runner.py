"""Runs episodes in waves and keeps each finished wave at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from codi_core.evaluation.progress import Progress
from codi_core.evaluation.run_folder import RunFolder
from codi_core.execution import ControlStep, RecedingHorizon, Replan, Rollout, SimulatedPlant
from codi_core.tasks import Environment, EpisodeKey, EpisodeRecord, Metrics, Trace


@attrs.frozen
class Evaluation:
    """What is evaluated, and on how much.

    Attributes:
        environment: makes the environment; called when the first wave starts.
        loop: the closed loop.
        metrics: scores episodes.
        episodes: how many episodes, numbered from 0.
        worlds: how many run at once. It changes no episode beyond the rounding of batched sums.
        seed: the run's seed.
        traced: the numbers of the episodes whose events are kept for pictures.
    """

    environment: Callable[[], Environment]
    loop: RecedingHorizon
    metrics: Metrics
    episodes: int
    worlds: int
    seed: int
    traced: frozenset[int] = frozenset()

    def run(self, folder: RunFolder, progress: Progress) -> bool:
        """Run the episodes that the folder lacks, wave by wave.

        Returns:
            False if a KeyboardInterrupt ended the run early. Waves that had finished by then are
            in the folder.
        """
        records = folder.records()
        pending = _missing(range(self.episodes), records)
        with progress:
            progress.begin(self.episodes, self.loop.settings.steps, records)
            try:
                self._waves(folder, progress, pending)
            except KeyboardInterrupt:
                return False
        return True

    def _waves(self, folder: RunFolder, progress: Progress, pending: Sequence[int]) -> None:
        if not pending:
            return
        environment = self.environment()
        for numbers in _batches(pending, self.worlds):
            progress.wave(len(numbers))
            records = self._wave(environment, numbers, folder, progress)
            progress.finished(records)

    def _wave(
        self,
        environment: Environment,
        numbers: Sequence[int],
        folder: RunFolder,
        progress: Progress,
    ) -> list[EpisodeRecord]:
        keys = [EpisodeKey(self.seed, number) for number in numbers]
        plant = SimulatedPlant(environment, keys, self.loop.settings.rate_hz)

        def observer(step: ControlStep) -> None:
            progress.step(step.tick)

        rollout = self.loop.run(plant, keys, observer)
        traces = [world_trace(rollout, world) for world in range(len(numbers))]
        records = [self._record(*pair) for pair in zip(numbers, traces, strict=True)]
        for number, trace in zip(numbers, traces, strict=True):
            if number in self.traced:
                folder.save_trace(number, trace)
        folder.commit(wave_summary(numbers, rollout.replans), records)
        return records

    def _record(self, number: int, trace: Trace) -> EpisodeRecord:
        scored = self.metrics.episode(trace, 1.0 / self.loop.settings.rate_hz)
        return {"episode": number, **scored}


def world_trace(rollout: Rollout, world: int) -> Trace:
    """The events of one world's episode.

    An episode ends with its failure, or a time after its success, even if other worlds of its wave
    go on; so what is scored doesn't depend on the wave.
    """
    length = int(rollout.lengths[world])
    return {name: values[:length, world] for name, values in rollout.events.items()}


def wave_summary(numbers: Sequence[int], replans: Sequence[Replan]) -> dict[str, Any]:
    """What a wave's plans cost and counted, as one JSON-able line."""
    counts: Counter[str] = Counter()
    stages: Counter[str] = Counter()
    for replan in replans:
        counts.update(replan.counts)
        stages.update(replan.stages)
    return {
        "episodes": list(numbers),
        "replan_seconds": [round(replan.seconds, 6) for replan in replans],
        "world_plans": sum(replan.worlds for replan in replans),
        "counts": dict(counts),
        "stage_seconds": {name: round(value, 6) for name, value in stages.items()},
        "series": _mean_series([replan.series for replan in replans]),
    }


def _mean_series(
    series: Sequence[Mapping[str, tuple[float, ...]]],
) -> dict[str, list[float]]:
    """Per name, the mean over plans at each denoising step."""
    names = dict.fromkeys(name for entry in series for name in entry)
    means: dict[str, list[float]] = {}
    for name in names:
        rows = [entry[name] for entry in series if name in entry]
        length = min(len(row) for row in rows)
        means[name] = np.mean([row[:length] for row in rows], 0).tolist()
    return means


def _missing(numbers: Iterable[int], records: Iterable[EpisodeRecord]) -> list[int]:
    done = {record["episode"] for record in records}
    return [number for number in numbers if number not in done]


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]
