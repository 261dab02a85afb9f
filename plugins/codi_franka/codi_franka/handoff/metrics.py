"""How episodes of ``franka-handoff`` are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import EpisodeRecord, Metrics, Trace
from codi_franka.handoff.options import SUCCESS_RADIUS

REST_SPEED = 0.01
"""[m/s] A slower cube is at rest."""

ENGAGED = 0.2
"""[m] A hand that near the cube engages with it, as in Table I (Δ_engage)."""
HELD = 0.04
"""[m] A hand that near the cube holds it, if its fingers are about a cube's width apart."""
HELD_WIDTH = (0.03, 0.07)
"""[m]"""
BENT = 0.01
"""[m/s] The guard intervenes where it bends a hand's command by more than that."""
LULL = 1.0
"""[s] What happens again after a shorter lull is one occasion: contacts bounce, hands waver."""

Flags = NDArray[np.bool_]


def remark(trace: Trace, step: int) -> str:
    """What videos say of a control step: how far the cube is from its goal."""
    offset = np.asarray(trace["goal"])[step] - np.asarray(trace["cube_position"])[step]
    return f"cube {100 * float(np.linalg.norm(offset)):.0f} cm from its goal"


class HandoffMetrics(Metrics):
    """Success is the paper's: the cube comes within 15 cm of the goal.

    Counts are of separate occasions in the whole episode:

    - ``collisions``: arms touch.
    - ``simultaneous_approaches``: both hands are within 20 cm of the cube and neither holds it, so
      that both are about to pick the same cube. With a hand 20 cm away Table I takes an arm for
      engaged, and its collision term keeps hands 30 cm apart: where one arm hands over to the
      other, one has left before the other is there.
    - ``guard_interventions``: the guard bends commands; ``guard_seconds`` is for how long in all.
    """

    def episode(self, events: Mapping[str, NDArray[np.generic]], dt: float) -> EpisodeRecord:
        """Score one episode."""
        distance = np.asarray(events["goal_distance_m"], dtype=float)
        failed = np.asarray(events["failed"], dtype=bool)
        # A world that has failed keeps moving in the batch; what it does then does not count.
        distance = np.where(failed, np.inf, distance)
        near = np.flatnonzero(distance <= SUCCESS_RADIUS)
        settled = (
            distance[-1] <= SUCCESS_RADIUS
            and not events["cube_touched"][-1]
            and float(events["cube_speed_m_s"][-1]) < REST_SPEED
        )
        start = np.asarray(events["cube_position"])[0]
        guarded = np.asarray(events["guard_m_s"]) > BENT
        return {
            "success": bool(len(near)),
            "completion_time_s": round(float(near[0]) * dt, 6) if len(near) else None,
            "min_goal_distance_m": _finite(float(distance.min())),
            "left_only": bool(events["left_only"][0]),
            "settled": bool(settled),
            "arm_contact": bool(np.any(events["arm_contact"])),
            "min_hand_distance_m": float(np.min(np.asarray(events["hand_distance_m"], float))),
            "failed": bool(failed[-1]),
            "collisions": occasions(np.asarray(events["arm_contact"], dtype=bool), dt),
            "simultaneous_approaches": occasions(both_engaged(events), dt),
            "guard_interventions": occasions(guarded, dt),
            "guard_seconds": round(float(guarded.sum()) * dt, 6),
            "start": [round(float(value), 4) for value in start],
        }

    def summary(self, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
        """The ``task_metrics``."""
        goal = np.array([record["min_goal_distance_m"] for record in records])
        hands = np.array([record["min_hand_distance_m"] for record in records])
        left = [record["success"] for record in records if record["left_only"]]
        return {
            "min_goal_distance_m": {
                "median": float(np.median(goal)),
                "p95": float(np.percentile(goal, 95)),
            },
            "left_only_success_rate": float(np.mean(left)) if left else None,
            "left_only_episodes": len(left),
            "settled_rate": float(np.mean([record["settled"] for record in records])),
            "arm_contact_rate": float(np.mean([record["arm_contact"] for record in records])),
            "min_hand_distance_m": {
                "median": float(np.median(hands)),
                "p5": float(np.percentile(hands, 5)),
            },
            "failed_rate": float(np.mean([record["failed"] for record in records])),
            **{
                f"{name}_per_episode": _mean(records, name)
                for name in ("collisions", "simultaneous_approaches", "guard_interventions")
            },
            "guard_seconds": _mean(records, "guard_seconds"),
        }


def both_engaged(events: Mapping[str, NDArray[np.generic]]) -> Flags:
    """Whether both hands are near a cube that neither of them holds, (T + 1,)."""
    cube = np.asarray(events["cube_position"], dtype=float)
    hands = np.asarray(events["hand_position"], dtype=float)
    width = np.asarray(events["gripper_width"], dtype=float)
    distance = np.linalg.norm(hands - cube[:, None], axis=-1)
    held = (distance < HELD) & (width > HELD_WIDTH[0]) & (width < HELD_WIDTH[1])
    engaged: Flags = (distance < ENGAGED).all(-1) & ~held.any(-1)
    return engaged


def occasions(flags: Flags, dt: float) -> int:
    """How often something happens that each step's flag tells, with lulls of at least 1 s between.

    Args:
        flags: (T,).
        dt: the control period [s].
    """
    steps = np.flatnonzero(flags)
    return int((np.diff(steps) * dt > LULL + dt / 2).sum()) + 1 if len(steps) else 0


def _mean(records: Sequence[EpisodeRecord], name: str) -> float | None:
    # Runs of earlier versions, which may be resumed, lack some values.
    values = [record[name] for record in records if name in record]
    return float(np.mean(values)) if values else None


def _finite(distance: float) -> float:
    return distance if np.isfinite(distance) else 10.0
