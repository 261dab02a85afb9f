"""What checks find."""

from __future__ import annotations

from enum import Enum

import attrs


class Result(Enum):
    """How a check ended."""

    GOOD = "ok"
    CAREFUL = "careful"
    BAD = "not ready"


@attrs.frozen
class Finding:
    """What a check found.

    Attributes:
        what: was checked.
        result: how that ended.
        found: in words.
        remedy: what to do about it; empty if all is well.
    """

    what: str
    result: Result
    found: str
    remedy: str = ""

    @classmethod
    def of(
        cls, what: str, good: bool, found: str, remedy: str, bad: Result = Result.BAD
    ) -> Finding:
        """A finding whose remedy is told only if it is needed."""
        return cls(what, Result.GOOD if good else bad, found, "" if good else remedy)

    @property
    def line(self) -> str:
        """It in one line, and its remedy in another."""
        text = f"{self.result.value:>9}  {self.what}: {self.found}"
        return f"{text}\n{'':>11}{self.remedy}" if self.remedy else text
