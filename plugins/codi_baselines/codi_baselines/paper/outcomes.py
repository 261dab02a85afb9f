"""What came of the rows: the values of each start, and what plans were made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import UsageError
from codi_core.evaluation.metrics import completion_times
from codi_core.evaluation.statistics import wilson_interval
from codi_core.host.registry import unknown_name
from codi_core.tasks import EpisodeRecord

if TYPE_CHECKING:
    from codi_baselines.paper.rows import Row
    from codi_core.experiments import Run

Array = NDArray[np.float64]

SUCCESS, TIME = "success", "time"
"""Measures that every task has: 1 or 0, and the completion time [s], the limit for a failure."""


@attrs.frozen
class Measures:
    """Which values of a task's records the figures are about.

    What a task doesn't record is left out of figures, tables and claims.

    Attributes:
        distance: how near the episode came to its goal.
        collisions: how many collisions there were, or whether there was one.
        approaches: how often agents were about to do the same thing.
        interventions: how often a guard intervened.
        shared: whether the start is one that no agent solves alone.
        start: where the episode starts: x, y, … [m].
    """

    distance: str = "min_goal_distance_m"
    collisions: str = "collisions"
    approaches: str = "simultaneous_approaches"
    interventions: str = "guard_interventions"
    shared: str = "left_only"
    start: str = "start"


def read_measures(texts: Iterable[str]) -> Measures:
    """The usual measures but for those that texts NAME=FIELD name.

    Raises:
        UsageError: a text of another form, or a measure that there isn't.
    """
    given = {}
    for text in texts:
        name, separator, field = text.partition("=")
        if not separator or not field:
            raise UsageError(f"--measure {text}: write NAME=FIELD, as distance=min_gap_m")
        if name not in attrs.fields_dict(Measures):
            raise unknown_name("measure", name, attrs.fields_dict(Measures))
        given[name] = field
    return Measures(**given)


@attrs.frozen(eq=False)
class Outcome:
    """What came of one row.

    Attributes:
        label: the row's.
        name: the row's, for people.
        records: the finished episodes by number.
        limit: the time limit of an episode [s].
        samples: M.
        worlds: how many episodes a wave has.
        metrics: the content of ``metrics.json``.
    """

    label: str
    name: str
    records: Mapping[int, EpisodeRecord]
    limit: float
    samples: int = 1
    worlds: int = 1
    metrics: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, row: Row, run: Run) -> Outcome:
        """That of a row's run."""
        config = run.experiment.config
        return cls(
            row.label,
            row.name,
            {record["episode"]: record for record in run.episodes},
            float(config.max_seconds or 0.0),
            int(config.samples or 1),
            int(config.worlds or 1),
            run.metrics,
        )

    @property
    def successes(self) -> int:
        """How many episodes succeeded."""
        return sum(bool(record["success"]) for record in self.records.values())

    @property
    def rate(self) -> tuple[float, float, float]:
        """The share of successes, and its Wilson interval of 95 %."""
        return share(self.successes, len(self.records))

    @property
    def failures(self) -> list[int]:
        """The numbers of the episodes that failed."""
        return [number for number, record in self.records.items() if not record["success"]]

    @property
    def rollouts(self) -> float:
        """Rollouts a replan, for one world."""
        return float(self.metrics.get("rollouts_per_replan") or 0.0)

    @property
    def sample_size(self) -> float | None:
        """The effective number of M samples, averaged over plans and denoising steps."""
        found = self.metrics.get("diagnostics", {}).get("effective_sample_size")
        return None if found is None else float(found)

    def values(self, measure: str) -> dict[int, float]:
        """A measure's values by episode; episodes that lack it are left out.

        Args:
            measure: a name in the task's records, or :data:`SUCCESS` or :data:`TIME`.
        """
        if measure == TIME:
            times = completion_times(list(self.records.values()), self.limit)
            return dict(zip(self.records, times, strict=True))
        found = {number: record.get(measure) for number, record in self.records.items()}
        return {number: float(value) for number, value in found.items() if value is not None}

    def missed(self, measure: str) -> list[float]:
        """A measure's values in the episodes that failed."""
        values = self.values(measure)
        return [values[number] for number in self.failures if number in values]

    def happened(self, measure: str) -> tuple[int, int]:
        """In how many episodes something happened at all, and how many were looked at."""
        values = self.values(measure).values()
        return sum(value > 0 for value in values), len(values)


def share(count: int, trials: int) -> tuple[float, float, float]:
    """A share and its Wilson interval of 95 %; NaN for the share of nothing."""
    return (count / trials if trials else float("nan"), *wilson_interval(count, trials))


def paired(measure: str, *outcomes: Outcome) -> Array:
    """A measure on the starts that all outcomes have, (n, number of outcomes)."""
    found = [outcome.values(measure) for outcome in outcomes]
    common = [number for number in found[0] if all(number in values for values in found)]
    return np.array([[values[number] for values in found] for number in common]).reshape(
        len(common), len(found)
    )


def with_unit(text: str, measure: str) -> str:
    """A heading with the unit of a measure."""
    unit = unit_of(measure)[1]
    return f"{text} [{unit}]" if unit else text


def unit_of(measure: str) -> tuple[float, str]:
    """What people read a measure in: a factor and a unit, which is empty for counts."""
    if measure == TIME or measure.endswith("_s"):
        return 1.0, "s"
    return (100.0, "cm") if measure.endswith("_m") else (1.0, "")
