"""Single statements about rows, each tested on the starts that its rows have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import attrs
import numpy as np

from codi_baselines.paper.outcomes import SUCCESS, TIME, Array, Measures, Outcome, paired, unit_of
from codi_baselines.paper.rows import ROWS
from codi_baselines.paper.statistics import (
    Interval,
    difference_of,
    mcnemar,
    paired_bootstrap,
    paired_difference,
)
from codi_core.evaluation.statistics import wilson_interval

LEVEL = 0.05
"""A difference counts if its p value is below that, or if its 95 % interval leaves zero out."""
MARGIN = 0.1
"""A method is as good as another one if it is at most so much less often successful."""

NAMES = {row.label: row.name for row in ROWS}


class Answer(StrEnum):
    """What the data say to a statement."""

    YES = "yes"
    NO = "no: the other way round"
    OPEN = "not shown"
    UNTESTED = "not tested"


@attrs.frozen
class Finding:
    """A statement, and what the data say to it.

    Attributes:
        text: the statement.
        answer: whether it is so.
        numbers: what the answer comes from, or why there is none.
    """

    text: str
    answer: Answer
    numbers: str


Outcomes = Mapping[str, Outcome]


@attrs.frozen
class Check(ABC):
    """A statement about rows.

    Attributes:
        rows: their labels.
    """

    rows: tuple[str, ...]

    def finding(self, outcomes: Outcomes, measures: Measures) -> Finding:
        """Test the statement.

        Args:
            outcomes: by label, those that there are.
            measures: which values of the records mean what.
        """
        text = self.text(*(NAMES[row] for row in self.rows))
        missing = [row for row in self.rows if row not in outcomes or not outcomes[row].records]
        if missing:
            return Finding(text, Answer.UNTESTED, f"there is no {' and no '.join(missing)}")
        tested = self.test([outcomes[row] for row in self.rows], measures)
        if tested is None:
            return Finding(text, Answer.UNTESTED, "the records don't say")
        return Finding(text, *tested)

    @abstractmethod
    def text(self, *names: str) -> str:
        """The statement in words, with the rows' names."""

    @abstractmethod
    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """The answer and its numbers; None if the records don't hold what it takes.

        Args:
            outcomes: one a row.
            measures: which values of the records mean what.
        """


@attrs.frozen
class SucceedsMore(Check):
    """The first row succeeds on more starts than the second (McNemar's exact test)."""

    def text(self, *names: str) -> str:
        """In words."""
        return "{} succeeds more often than {}".format(*names)

    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """By the starts on which just one of them succeeds."""
        return _compare(paired(SUCCESS, *outcomes), wanted=1)


@attrs.frozen
class SucceedsAsOften(Check):
    """The first row is at most 10 points behind the second, by the end of the 95 % interval."""

    def text(self, *names: str) -> str:
        """In words."""
        points = f"{100 * MARGIN:.0f} points"
        return f"{names[0]} succeeds at most {points} less often than {names[1]}"

    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """By Newcombe's interval of the difference."""
        values = paired(SUCCESS, *outcomes)
        if not len(values):
            return None
        difference = paired_difference(*_table(values))
        numbers = f"{_shares(values)}; difference {_points(difference)}"
        return _sign(difference.low + MARGIN, difference.high + MARGIN), numbers


@attrs.frozen
class Lower(Check):
    """A measure is lower for the first row than for the second (paired bootstrap).

    Attributes:
        measure: a field of :class:`Measures`, or "time".
        median: compare medians instead of means.
    """

    measure: str = TIME
    median: bool = False

    def text(self, *names: str) -> str:
        """In words."""
        average = "median" if self.median else "mean"
        return f"{names[0]} {_LOWER[self.measure]} {names[1]} ({average})"

    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """By the bootstrap interval of the difference."""
        name = _name(self.measure, measures)
        values = paired(name, *outcomes)
        if not len(values):
            return None
        average: Callable[..., Array] = np.median if self.median else np.mean
        difference = paired_bootstrap(values, difference_of(average))
        scale, unit = unit_of(name)
        unit = unit and f" {unit}"
        first, second = scale * average(values, 0)
        estimate, low, high = (scale * value for value in attrs.astuple(difference))
        numbers = (
            f"{first:.3g} against {second:.3g}{unit}; difference {estimate:+.3g} "
            f"({low:+.3g} to {high:+.3g}){unit}"
        )
        return _sign(-difference.high, -difference.low), numbers


@attrs.frozen
class Rarer(Check):
    """Something happens in fewer episodes of the first row than of the second (McNemar's test).

    Attributes:
        measure: a field of :class:`Measures`.
    """

    measure: str = "collisions"

    def text(self, *names: str) -> str:
        """In words."""
        return f"{names[0]} has fewer episodes with {_EVENTS[self.measure]} than {names[1]}"

    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """By the starts on which it happens to just one of them."""
        return _compare(paired(_name(self.measure, measures), *outcomes) > 0, wanted=-1)


@attrs.frozen
class SolvesMost(Check):
    """The row succeeds on most of the starts that no single agent can solve."""

    def text(self, *names: str) -> str:
        """In words."""
        return f"{names[0]} succeeds on most of the starts that no agent solves alone"

    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """By the Wilson interval of the share."""
        (outcome,) = outcomes
        shared = outcome.values(measures.shared)
        solved = [bool(outcome.records[number]["success"]) for number in shared if shared[number]]
        if not solved:
            return None
        low, high = wilson_interval(sum(solved), len(solved))
        numbers = f"{sum(solved)} of {len(solved)} ({100 * low:.1f} to {100 * high:.1f} %)"
        return _sign(low - 0.5, high - 0.5), numbers


@attrs.frozen
class LosesMore(Check):
    """What a method loses by a simpler cost is more than what another one loses by it.

    Its rows are the one with the full and with the simple cost, and the other one likewise.
    """

    def text(self, *names: str) -> str:
        """In words."""
        return f"{names[0]} loses more successes by the simpler cost than {names[2]}"

    def test(self, outcomes: Sequence[Outcome], measures: Measures) -> tuple[Answer, str] | None:
        """By the bootstrap interval of the difference of both losses."""
        values = paired(SUCCESS, *outcomes)
        if not len(values):
            return None
        full, simple, other_full, other_simple = 100 * values.mean(0)
        difference = paired_bootstrap(values, _loss_difference)
        numbers = (
            f"{full - simple:.1f} against {other_full - other_simple:.1f} points; difference "
            f"{_points(difference)}"
        )
        return _sign(difference.low, difference.high), numbers


_LOWER = {
    "distance": "comes closer to the goal than",
    TIME: "is faster than",
    "interventions": "makes the guard intervene less often than",
}
_EVENTS = {"collisions": "collisions", "approaches": "simultaneous approaches"}


def _loss_difference(values: Array) -> Array:
    full, simple, other_full, other_simple = np.moveaxis(values.mean(-2), -1, 0)
    result: Array = (full - simple) - (other_full - other_simple)
    return result


def _name(measure: str, measures: Measures) -> str:
    return TIME if measure == TIME else str(getattr(measures, measure))


def _sign(low: float, high: float) -> Answer:
    """What the interval of a number says that should be above zero."""
    if low > 0:
        return Answer.YES
    return Answer.NO if high < 0 else Answer.OPEN


def _compare(values: Any, wanted: int) -> tuple[Answer, str] | None:
    """Whether something that is true or not is so on more starts of the first, or of the second.

    Args:
        values: (n, 2).
        wanted: 1 for the first, -1 for the second.
    """
    if not len(values):
        return None
    counts = _table(values)
    _, first, second, _ = counts
    p = mcnemar(first, second)
    numbers = f"{_shares(values)}; difference {_points(paired_difference(*counts))}, p = {p:.2g}"
    if p >= LEVEL:
        return Answer.OPEN, numbers
    return (Answer.YES if wanted * (first - second) > 0 else Answer.NO), numbers


def _table(values: Any) -> tuple[int, int, int, int]:
    """On how many starts both, the first alone, the second alone, and none have something."""
    first, second = np.asarray(values, dtype=bool).T
    cells = first & second, first & ~second, ~first & second, ~first & ~second
    both, one, other, neither = (int(cell.sum()) for cell in cells)
    return both, one, other, neither


def _shares(values: Any) -> str:
    counts = np.asarray(values, dtype=bool).sum(0)
    return " against ".join(f"{count} of {len(values)}" for count in counts)


def _points(interval: Interval) -> str:
    shown = (100 * value for value in attrs.astuple(interval))
    return "{:+.1f} ({:+.1f} to {:+.1f}) points".format(*shown)
