"""The paper's claims as statements that data can answer, and how answers become a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import attrs

from codi_baselines.paper.checks import (
    Answer,
    Check,
    Finding,
    LosesMore,
    Lower,
    Outcomes,
    Rarer,
    SolvesMost,
    SucceedsAsOften,
    SucceedsMore,
)
from codi_baselines.paper.outcomes import Measures


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    FAILS = "does not hold here"
    UNTESTED = "not tested"


@attrs.frozen
class Claim:
    """One of the paper's claims.

    Attributes:
        label: as in the paper.
        text: in the paper's words, shortened.
        checks: what it says about the rows.
    """

    label: str
    text: str
    checks: tuple[Check, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """The labels of the rows that it is about."""
        return tuple(dict.fromkeys(row for check in self.checks for row in check.rows))

    def findings(self, outcomes: Outcomes, measures: Measures) -> list[Finding]:
        """What the data say to each of its statements."""
        return [check.finding(outcomes, measures) for check in self.checks]


def judge(findings: Sequence[Finding]) -> Verdict:
    """It holds if all statements that could be tested are so, and in part if half of them are."""
    answers = [each.answer for each in findings if each.answer is not Answer.UNTESTED]
    if not answers:
        return Verdict.UNTESTED
    share = answers.count(Answer.YES) / len(answers)
    if share == 1:
        return Verdict.HOLDS
    return Verdict.IN_PART if share >= 0.5 else Verdict.FAILS


ENOUGH = 50
"""Starts, the paper's number, for a verdict to be more than a preview."""

JOINT = ("codi-joint", "cg-joint", "dpmd-joint", "sdac-joint", "expo-joint")
"""What is built on a joint policy, with all demonstrations."""


def _closer(*rows: str) -> Check:
    return Lower(rows, "distance", median=True)


def _beats(row: str) -> tuple[Check, Check]:
    return _closer("codi", row), Lower(("codi", row))


UNGUARDED = ("codi-no-guard", "codi-indep-no-guard")

CLAIMS = (
    Claim(
        "C1",
        "CoDi discovers collaboration strategies from single-agent demonstrations",
        (SucceedsMore(("codi", "base")), SolvesMost(("codi",))),
    ),
    Claim(
        "C3",
        "CoDi is more data-efficient than methods trained on multi-agent demonstrations, and at "
        "the same data budget more accurate and faster",
        (
            *(check for row in JOINT for check in _beats(row)),
            SucceedsAsOften(("codi-200", "cg-joint")),
            _closer("codi-200", "cg-joint"),
            SucceedsMore(("codi-200", "cg-joint-200")),
        ),
    ),
    Claim(
        "C4",
        "Joint guidance is critical for safe and efficient coordination",
        (
            Rarer(UNGUARDED, "collisions"),
            Rarer(UNGUARDED, "approaches"),
            Lower(UNGUARDED),
            Lower(("codi", "codi-indep"), "interventions"),
            Lower(("codi", "codi-indep")),
        ),
    ),
    Claim(
        "C5",
        "The sampling-based guidance estimator is necessary for effective coordination",
        (SucceedsMore(("codi", "cg-product")), _closer("codi", "cg-product")),
    ),
    Claim(
        "C6",
        "Guided behaviour depends on the base policies' support, so that the cost's design matters "
        "most where coordination is absent from the demonstrations",
        (
            SucceedsMore(("codi", "codi-simple")),
            SucceedsAsOften(("codi-joint-simple", "codi-joint")),
            LosesMore(("codi", "codi-simple", "codi-joint", "codi-joint-simple")),
        ),
    ),
)
"""Without C2, which is about hardware."""
