"""Results of the paper's rows, made up for tests."""

from __future__ import annotations

from typing import Any

from codi_baselines.paper.outcomes import Outcome
from codi_baselines.paper.rows import ROWS

LIMIT = 60.0
STARTS = 60


def outcome(
    label: str,
    successes: int = 20,
    distance: float = 0.2,
    seconds: float = 40.0,
    collided: int = 0,
    approached: int = 0,
    interventions: int = 2,
    starts: int = STARTS,
    **metrics: Any,
) -> Outcome:
    """A row whose first starts succeed; values differ a little from start to start.

    The second half of the starts needs more than one agent.
    """
    records = {
        number: {
            "episode": number,
            "success": number < successes,
            "completion_time_s": seconds + number % 5 if number < successes else None,
            "min_goal_distance_m": distance * (1 + number % 7 / 20),
            "collisions": int(number < collided),
            "simultaneous_approaches": 2 * int(number < approached),
            "guard_interventions": interventions + number % 2,
            "left_only": number >= starts // 2,
            "start": [number / 100, -number / 200, 0.3],
        }
        for number in range(starts)
    }
    name = next(row.name for row in ROWS if row.label == label)
    return Outcome(label, name, records, LIMIT, samples=64, worlds=25, metrics=metrics)


def outcomes(better: dict[str, dict[str, Any]] | None = None) -> dict[str, Outcome]:
    """All rows, alike but for what is said."""
    return {row.label: outcome(row.label, **(better or {}).get(row.label, {})) for row in ROWS}
