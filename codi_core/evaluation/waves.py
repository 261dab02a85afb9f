"""Waves: episodes that run at once, from their numbers to their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from codi_core.execution import ControlStep, RecedingHorizon, Replan, Rollout, SimulatedPlant
from codi_core.tasks import Environment, EpisodeKey, EpisodeRecord, Metrics, Trace

OnTick = Callable[[int], None]
"""Called after each control step with its number, from 1."""


@attrs.frozen
class Wave:
    """What came of a wave. It holds plain values only, so that other processes can send it.

    Attributes:
        records: one record an episode, in the order of their numbers.
        summary: what its plans cost and counted: a line of ``waves.jsonl``.
        traces: by episode, the events of those that were asked for.
    """

    records: tuple[EpisodeRecord, ...]
    summary: dict[str, Any]
    traces: Mapping[int, Trace]


@attrs.define(eq=False)
class WaveRunner:
    """Runs waves of episodes.

    Attributes:
        environment: makes the environment; called when the first wave starts.
        loop: the closed loop.
        metrics: scores episodes.
        seed: the run's seed.
    """

    environment: Callable[[], Environment]
    loop: RecedingHorizon
    metrics: Metrics
    seed: int
    _made: Environment | None = attrs.field(default=None, init=False)

    def run(
        self,
        numbers: Sequence[int],
        traced: frozenset[int] = frozenset(),
        on_tick: OnTick | None = None,
    ) -> Wave:
        """Run the episodes with these numbers at once.

        Args:
            numbers: the episodes.
            traced: the episodes whose events are wanted.
            on_tick: told about each control step.
        """
        if self._made is None:
            self._made = self.environment()
        keys = [EpisodeKey(self.seed, number) for number in numbers]
        plant = SimulatedPlant(self._made, keys, self.loop.settings.rate_hz)

        def observer(step: ControlStep) -> None:
            if on_tick is not None:
                on_tick(step.tick)

        rollout = self.loop.run(plant, keys, observer)
        traces = [world_trace(rollout, world) for world in range(len(numbers))]
        return Wave(
            tuple(self._record(*pair) for pair in zip(numbers, traces, strict=True)),
            wave_summary(numbers, rollout.replans),
            {number: traces[world] for world, number in enumerate(numbers) if number in traced},
        )

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
