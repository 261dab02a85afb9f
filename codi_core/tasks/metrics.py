"""The interface of a task's metrics: from what happened to what is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

EpisodeRecord = dict[str, Any]
"""One finished episode, as JSON-able values. Every task's records hold ``success`` (bool) and
``completion_time_s`` (float, or None without success)."""


class Metrics(ABC):
    """Turns an episode's events into a record, and records into a summary."""

    @abstractmethod
    def episode(self, events: Mapping[str, NDArray[np.generic]], dt: float) -> EpisodeRecord:
        """Score one episode.

        Args:
            events: arrays (T + 1, ...), one row a control step, the first at the reset.
            dt: the control period [s].
        """

    @abstractmethod
    def summary(self, records: Sequence[EpisodeRecord]) -> dict[str, Any]:
        """The ``task_metrics`` of a run, from the records of its finished episodes."""
