"""How episodes of ``franka-handoff`` are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import EpisodeRecord, Metrics
from codi_franka.handoff.options import SUCCESS_RADIUS

REST_SPEED = 0.01
"""[m/s] A slower cube is at rest."""


class HandoffMetrics(Metrics):
    """Success is the paper's: the cube comes within 15 cm of the goal."""

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
        return {
            "success": bool(len(near)),
            "completion_time_s": round(float(near[0]) * dt, 6) if len(near) else None,
            "min_goal_distance_m": _finite(float(distance.min())),
            "left_only": bool(events["left_only"][0]),
            "settled": bool(settled),
            "arm_contact": bool(np.any(events["arm_contact"])),
            "min_hand_distance_m": float(np.min(np.asarray(events["hand_distance_m"], float))),
            "failed": bool(failed[-1]),
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
        }


def _finite(distance: float) -> float:
    return distance if np.isfinite(distance) else 10.0
