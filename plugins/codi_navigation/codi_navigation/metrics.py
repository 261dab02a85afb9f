"""How episodes are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import EpisodeRecord, Metrics
from codi_navigation.simulation.environment import GOAL_RADIUS

STILL = 0.1
"""[m] A robot that ends less than that from where it was ``STILL_SECONDS`` before has stopped."""
STILL_SECONDS = 2.0

Events = Mapping[str, NDArray[Any]]


class NavigationMetrics(Metrics):
    """Success: all robots at their goals at one instant within the time limit, without any contact.

    A robot is at its goal when its centre is within 10 cm of it. Besides, for each episode:

    - ``makespan_s``: when all were there (the completion time), and ``flow_time_s``: when a robot
      arrived to stay, averaged over robots; both None without success.
    - ``path_ratio``: how long the robots' paths were over their shortest ones, averaged over
      robots; None without success.
    - ``closest_m``: the least gap between two robots' rims.
    - ``robot_contact`` and ``obstacle_contact``: whether there was any.
    - ``deadlock``: no success and no contact, and a robot that is not at its goal has moved less
      than 10 cm in the last two seconds.
    - ``arrived``: the share of robots at their goals in the end.
    """

    def episode(self, events: Mapping[str, NDArray[np.generic]], dt: float) -> EpisodeRecord:
        """Score one episode."""
        values: Events = {name: np.asarray(value) for name, value in events.items()}
        there = values["goal_distance_m"] <= GOAL_RADIUS
        contacts = (values["robot_contact"] | values["obstacle_contact"]).any(-1)
        limit = float(values["time_limit_s"][0])
        done = _first(np.asarray(there.all(-1)))
        touched = _first(np.asarray(contacts))
        time = None if done is None else done * dt
        success = (
            done is not None
            and time is not None
            and time <= limit + 1e-6
            and (touched is None or touched > done)
        )
        # What happens after the success does not count.
        end = done + 1 if success and done is not None else len(there)
        deadlock = not success and touched is None and _stuck(values["position"], there, dt)
        return {
            "success": bool(success),
            "completion_time_s": _rounded(time) if success else None,
            "makespan_s": _rounded(time) if success else None,
            "flow_time_s": _rounded(_flow_time(there[:end], dt)) if success else None,
            "path_ratio": _rounded(_path_ratio(values, end)) if success else None,
            "closest_m": _rounded(float(values["closest_m"][:end].min())),
            "robot_contact": bool(values["robot_contact"][:end].any()),
            "obstacle_contact": bool(values["obstacle_contact"][:end].any()),
            "deadlock": bool(deadlock),
            "arrived": float(there[end - 1].mean()),
            "time_limit_s": _rounded(limit),
        }

    def summary(self, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
        """The ``task_metrics``: means; of the closest approach median and 5th percentile."""
        closest = [record["closest_m"] for record in records]
        return {
            **{
                name: _mean(records, name)
                for name in ("makespan_s", "flow_time_s", "path_ratio", "arrived")
            },
            "closest_m": {
                "median": float(np.median(closest)),
                "p5": float(np.percentile(closest, 5)),
            },
            "robot_contact_rate": _mean(records, "robot_contact"),
            "obstacle_contact_rate": _mean(records, "obstacle_contact"),
            "deadlock_rate": _mean(records, "deadlock"),
        }


def _first(flags: NDArray[Any]) -> int | None:
    found = np.flatnonzero(flags)
    return int(found[0]) if len(found) else None


def _flow_time(there: NDArray[np.bool_], dt: float) -> float:
    """The mean over robots of when each came to its goal for the last time [s]."""
    steps = len(there)
    away = np.where(there, 0, np.arange(1, steps + 1)[:, None]).max(0)
    return float(away.mean()) * dt


def _path_ratio(values: Events, end: int) -> float:
    steps = np.linalg.norm(np.diff(values["position"][:end], axis=0), axis=-1)
    shortest = np.maximum(values["shortest_path_m"][0], 1e-3)
    return float((steps.sum(0) / shortest).mean())


def _stuck(position: NDArray[Any], there: NDArray[np.bool_], dt: float) -> bool:
    before = max(0, len(position) - 1 - round(STILL_SECONDS / dt))
    moved = np.linalg.norm(position[-1] - position[before], axis=-1)
    return bool(((moved < STILL) & ~there[-1]).any())


def _mean(records: Sequence[EpisodeRecord], name: str) -> float | None:
    values = [record[name] for record in records if record[name] is not None]
    return float(np.mean(values)) if values else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
