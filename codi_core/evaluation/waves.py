"""Waves: episodes that run at once, from their numbers to their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import attrs
import numpy as np

from codi_core.errors import (
    OUT_OF_MEMORY,
    CodiError,
    DatasetError,
    EpisodeError,
    PlantError,
    SpecificationError,
    UsageError,
    is_out_of_memory,
)
from codi_core.evaluation.metrics import check_record
from codi_core.evaluation.tracing import Tracer, Tracing, mean_costs
from codi_core.execution import ControlStep, PlanWorker, RecedingHorizon, Replan, Rollout
from codi_core.execution.plan_maker import reason_of
from codi_core.execution.settings import MEASURED
from codi_core.tasks import EpisodeKey, EpisodeRecord, Metrics, Plant, Trace

if TYPE_CHECKING:
    from codi_core.evaluation.recorder import Recorder

OnTick = Callable[[int], None]
"""Called after each control step with its number, from 1."""


@attrs.frozen
class Wave:
    """What came of a wave. It holds plain values only, so that other processes can send it.

    Attributes:
        records: one record an episode, in the order of their numbers.
        summary: what its plans cost and counted: a line of ``waves.jsonl``.
        traces: by episode, the events of those that were asked for, what was executed, and what
            the cost says of it.
    """

    records: tuple[EpisodeRecord, ...]
    summary: dict[str, Any]
    traces: Mapping[int, Trace]


MakePlant = Callable[[Sequence[EpisodeKey]], Plant]
"""Makes a plant of one world an episode, at the start of these episodes."""


@attrs.define(eq=False)
class WaveRunner:
    """Runs waves of episodes; a context manager, which ends the worker that makes plans.

    Attributes:
        plant: makes the plant of a wave.
        loop: the closed loop.
        metrics: scores episodes.
        seed: the run's seed.
        delays: by episode, the measured delays of the plans of an earlier run, to replay them.
        begun: whether an episode of the run has been finished, here or elsewhere. If not, a wave
            whose episodes all break ends the run.
        recorder: keeps what is executed, or None.
        tracing: what traces hold besides events, or None for events alone.
        keep_failure: whether the events of the next episode that fails are kept as well, for
            pictures; without what else traces hold.
    """

    plant: MakePlant
    loop: RecedingHorizon
    metrics: Metrics
    seed: int
    delays: Mapping[int, Sequence[float]] = attrs.field(factory=dict)
    begun: bool = False
    recorder: Recorder | None = None
    tracing: Tracing | None = None
    keep_failure: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """End a worker that makes the plans."""
        if isinstance(self.loop.planner, PlanWorker):
            self.loop.planner.closing.close()

    def run(
        self,
        numbers: Sequence[int],
        traced: frozenset[int] = frozenset(),
        on_tick: OnTick | None = None,
    ) -> Wave:
        """Run the episodes with these numbers at once.

        An episode whose plan, cost or world breaks is a failure with the reason in its record,
        under "error"; the others go on. Where an error of the worlds doesn't say which of them it
        comes from, the episodes are run one by one to find out.

        Args:
            numbers: the episodes.
            traced: the episodes whose events are wanted.
            on_tick: told about each control step.

        Raises:
            CodiError: what went wrong in all of the episodes, if they are the run's first ones.
        """
        try:
            wave = self._together(numbers, traced, on_tick)
        except (UsageError, SpecificationError, PlantError, DatasetError):
            raise
        except (Exception, SystemExit) as error:  # no part ends the command without a word
            wave = self._one_by_one(numbers, traced, error)
        if self.recorder is not None:
            self.recorder.commit()
        self.begun = True
        return wave

    def _together(
        self, numbers: Sequence[int], traced: frozenset[int], on_tick: OnTick | None
    ) -> Wave:
        keys = [EpisodeKey(self.seed, number) for number in numbers]
        recording = None if self.recorder is None else self.recorder.wave(keys)
        tracer = self._tracer([row for row, number in enumerate(numbers) if number in traced])

        def observer(step: ControlStep) -> None:
            if recording is not None:
                recording.add(step)
            if tracer is not None:
                tracer.add(step)
            if on_tick is not None:
                on_tick(step.tick)

        plant = self.plant(keys)
        try:
            rollout = self.loop.run(plant, keys, observer, self._recorded_delays(numbers))
        except (PlantError, KeyboardInterrupt):
            # The last steps of a real system are worth the most when it has failed.
            if self.recorder is not None and recording is not None and not plant.clock.virtual:
                self.recorder.keep(recording, np.full(len(keys), np.iinfo(np.int64).max))
                self.recorder.commit()
            raise
        summary = wave_summary(numbers, rollout.replans)
        if self.loop.settings.latency == MEASURED or not plant.clock.virtual:
            summary |= measured_delays(rollout)
        traces = [world_trace(rollout, world) for world in range(len(numbers))]
        records = tuple(map(self._record, numbers, traces, rollout.failures))
        kept = {number: traces[row] for row, number in enumerate(numbers) if number in traced}
        if tracer is not None and self.tracing is not None:
            for number, row in zip(kept, tracer.worlds, strict=True):
                length = int(rollout.lengths[row])
                kept[number] = {**kept[number], **self.tracing.arrays(tracer, row, length)}
            summary["costs"] = {str(number): mean_costs(trace) for number, trace in kept.items()}
        failed = next((row for row, record in enumerate(records) if not record["success"]), None)
        if self.keep_failure and failed is not None:
            kept.setdefault(numbers[failed], traces[failed])
            self.keep_failure = False
        wave = Wave(records, summary, kept)
        if self.recorder is not None and recording is not None:
            self.recorder.keep(recording, rollout.lengths)
        return wave

    def _tracer(self, worlds: Sequence[int]) -> Tracer | None:
        if self.tracing is None or not worlds:
            return None
        return Tracer(worlds, self.tracing.agents)

    def _one_by_one(
        self, numbers: Sequence[int], traced: frozenset[int], error: BaseException
    ) -> Wave:
        """The wave of episodes that could not be run together."""
        if len(numbers) == 1:
            waves = [_broken(numbers[0], error)]
        else:
            waves = [self._alone(number, traced) for number in numbers]
        wave = _joined(waves)
        if all("error" in record for record in wave.records) and not self.begun:
            if isinstance(error, CodiError):
                raise error
            if is_out_of_memory(error):
                raise UsageError(
                    f"{OUT_OF_MEMORY}: give fewer --samples, or fewer --worlds"
                ) from error
            raise EpisodeError(f"every episode breaks: {reason_of(error)}") from error
        return wave

    def _alone(self, number: int, traced: frozenset[int]) -> Wave:
        try:
            return self._together([number], traced, None)
        except DatasetError:
            raise
        except (Exception, SystemExit) as error:
            return _broken(number, error)

    def _recorded_delays(self, numbers: Sequence[int]) -> Sequence[float] | None:
        return self.delays.get(numbers[0]) if len(numbers) == 1 else None

    def _record(self, number: int, trace: Trace, failure: str | None) -> EpisodeRecord:
        made = self.metrics.episode(trace, 1.0 / self.loop.settings.rate_hz)
        scored = check_record(made, f"{type(self.metrics).__name__}.episode()")
        record = {"episode": number, **scored}
        if failure is not None:
            record |= {"success": False, "completion_time_s": None, "error": failure}
        return record


def _broken(number: int, error: BaseException) -> Wave:
    """A wave of one episode that nothing but its error is known of."""
    record = {
        "episode": number,
        "success": False,
        "completion_time_s": None,
        "error": reason_of(error),
    }
    return Wave((record,), wave_summary([number], ()), {})


def _joined(waves: Sequence[Wave]) -> Wave:
    """One wave of episodes that were run one by one."""
    lines = [wave.summary for wave in waves]
    series = [{name: tuple(row) for name, row in line["series"].items()} for line in lines]
    summary = {
        "episodes": [number for line in lines for number in line["episodes"]],
        "replan_seconds": [seconds for line in lines for seconds in line["replan_seconds"]],
        "world_plans": sum(line["world_plans"] for line in lines),
        "counts": _added([line["counts"] for line in lines]),
        "stage_seconds": _added([line["stage_seconds"] for line in lines]),
        "series": _mean_series(series),
        "costs": {number: costs for line in lines for number, costs in line["costs"].items()},
    }
    records = tuple(record for wave in waves for record in wave.records)
    return Wave(records, summary, {n: t for wave in waves for n, t in wave.traces.items()})


def _added(tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {name: sum(table.get(name, 0) for table in tables) for name in names}


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
        "replan_seconds": [round(replan.seconds, 6) for replan in replans if replan.worlds],
        "world_plans": sum(replan.worlds for replan in replans),
        "counts": dict(counts),
        "stage_seconds": {name: round(value, 6) for name, value in stages.items()},
        "series": _mean_series([replan.series for replan in replans]),
        "costs": {},
    }


def measured_delays(rollout: Rollout) -> dict[str, Any]:
    """What a wave's line says besides where the latency was measured, one value a plan."""
    return {
        "delays": list(rollout.delays),
        "dropped": [replan.dropped for replan in rollout.replans],
        "missed": rollout.missed,
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
