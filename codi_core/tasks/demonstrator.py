"""The interface of what collects demonstrations for a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codi_core.tasks.environment import EpisodeKey
from codi_core.tasks.metrics import EpisodeRecord

if TYPE_CHECKING:
    from codi_core.data import DatasetWriter, FeatureSpec


class Demonstrator(ABC):
    """Demonstrates a task with ONE agent, many episodes at once; or, for joint data, with all.

    Attributes:
        features: what each recorded frame holds, by LeRobot feature name.
        robot_type: the robot's name in the data set's metadata.
    """

    features: Mapping[str, FeatureSpec]
    robot_type: str

    @abstractmethod
    def collect(
        self, episodes: Sequence[EpisodeKey], writer: DatasetWriter
    ) -> Sequence[EpisodeRecord]:
        """Demonstrate these episodes in one batch and write each that succeeded.

        Args:
            episodes: one key a world; everything random derives from it.
            writer: takes one ``add_episode(frames, task)`` an episode.

        Returns:
            One JSON-able record an episode, in the order of the keys. It has ``success`` (bool)
            and ``frames`` (int, how many were written; 0 for none).
        """

    @abstractmethod
    def report(self, records: Sequence[EpisodeRecord], folder: Path) -> Sequence[Path]:
        """Draw what was collected into ``folder``; return the paths of the pictures."""
