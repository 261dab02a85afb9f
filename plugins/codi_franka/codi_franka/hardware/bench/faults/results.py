"""Outcomes in files, and as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from codi_core.errors import UsageError
from codi_core.files.durable import to_json, write_durably
from codi_franka.hardware.bench.faults.case import Outcome
from codi_franka.hardware.bench.faults.catalogue import FAULTS, Names

DOCUMENT, TABLE = "faults.json", "faults.md"
_LONGEST = 160
"""Characters of a reason in the table."""


class Results:
    """Outcomes in a folder; each is in the files as soon as it is there.

    Args:
        folder: with ``faults.json`` and ``faults.md``.
        safety: the safety settings; outcomes with others stay, and count as another row.

    Raises:
        UsageError: the file is damaged.
    """

    def __init__(self, folder: Path, safety: str) -> None:
        self.folder, self.safety = folder, safety
        self._all = _read(folder / DOCUMENT)

    @property
    def outcomes(self) -> list[Outcome]:
        """Those with these settings, in the order of the catalogue, pairs last."""
        rank = {name: place for place, name in enumerate(FAULTS)}
        mine = [outcome for outcome in self._all if outcome.safety == self.safety]
        known = [outcome for outcome in mine if set(outcome.faults) <= set(rank)]
        return sorted(known, key=lambda o: (len(o.faults), [rank[name] for name in o.faults]))

    def has(self, faults: Names) -> bool:
        """Whether there is an outcome of these faults."""
        return any(outcome.faults == faults for outcome in self.outcomes)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome, in place of an earlier one of the same faults."""
        same = (outcome.faults, outcome.safety)
        self._all = [each for each in self._all if (each.faults, each.safety) != same]
        self._all.append(outcome)
        write_durably(self.folder / DOCUMENT, to_json([attrs.asdict(each) for each in self._all]))
        write_durably(self.folder / TABLE, markdown(self.outcomes))


def _read(path: Path) -> list[Outcome]:
    if not path.exists():
        return []
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        lists = ("faults", "wrong")
        known: list[dict[str, Any]] = [
            {k: tuple(v) if k in lists else v for k, v in row.items()} for row in rows
        ]
        return [Outcome(**row) for row in known]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"'{path}' is damaged ({error}): choose another folder with --output"
        ) from error


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table."""
    head = (
        "| fault | what happens to the arms | stop | an arm by itself | verdict |",
        "|---|---|---|---|---|",
    )
    return "\n".join((*head, *map(_row, outcomes))) + "\n"


def _row(outcome: Outcome) -> str:
    fault = "; ".join(FAULTS[name].text for name in outcome.faults)
    names = " + ".join(f"`{name}`" for name in outcome.faults)
    verdict = "good" if not outcome.wrong else "; ".join(outcome.wrong)
    cells = (f"{names}: {fault}", "; ".join(_happens(outcome)), stopped(outcome))
    alone = "" if outcome.alone is None else f"{outcome.alone:.2f} s"
    return "| " + " | ".join((*(cell.replace("|", "/") for cell in cells), alone, verdict)) + " |"


def _happens(outcome: Outcome) -> Iterable[str]:
    words = {"goes on": "they go on", "waits": "they stand and wait", "stops": "both stop"}
    said = " ".join(outcome.said.split())
    short = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
    ended = words.get(outcome.ended, f"the driver {outcome.ended}")
    yield f"{ended}: {short}" if said else ended
    if outcome.trips:
        times = "once" if outcome.trips == 1 else f"{outcome.trips} times"
        yield f"an arm stopped by itself {times}"
    if outcome.again is not None:
        yield "the next episode runs" if outcome.again else "the next episode does not run"


def stopped(outcome: Outcome) -> str:
    """How long both arms took to stand, and from which speed."""
    if outcome.stop is None:
        return ""
    return f"{outcome.stop:.2f} s from {outcome.speed:.2f} rad/s"


def summary(outcomes: Sequence[Outcome]) -> str:
    """In one line."""
    good = sum(not outcome.wrong for outcome in outcomes)
    slowest = max((outcome.stop for outcome in outcomes if outcome.stop is not None), default=0.0)
    return (
        f"{good} of {len(outcomes)} as they must be; the slowest stop of both arms took "
        f"{slowest:.2f} s"
    )
