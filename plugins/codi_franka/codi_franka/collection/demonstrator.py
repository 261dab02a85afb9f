"""Single-arm demonstrations for ``codi-collect --task franka-handoff``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codi_core.data import DatasetWriter
from codi_core.tasks import EpisodeKey, EpisodeRecord
from codi_core.tasks.demonstrator import Demonstrator
from codi_franka.collection.frames import ARM, single_arm_features
from codi_franka.collection.recorder import Frames, Recorder
from codi_franka.collection.settings import CollectionSettings
from codi_franka.robot.cell import ARM_BASES

PICK = "pick the cube up and place it"
YIELD = "yield to another arm"


class HandoffDemonstrator(Demonstrator):
    """One arm that picks, places, recovers and yields, in full physics.

    The features under ``state.`` are the task's restorable state, in the world frame; what the
    policy reads is in the arm's base frame.

    Args:
        threads: physics threads, 0 for all processors.
        settings: what the demonstrations vary.
    """

    features = single_arm_features()
    robot_type = "franka_fr3"

    def __init__(self, threads: int = 0, settings: CollectionSettings | None = None) -> None:
        self.threads = threads
        self.settings = settings or CollectionSettings()

    def collect(
        self, episodes: Sequence[EpisodeKey], writer: DatasetWriter
    ) -> Sequence[EpisodeRecord]:
        """Demonstrate these episodes in one batch; even ones pick and place, odd ones yield.

        Each depends on its key alone, to the bit, whatever the batch.
        """
        recorder = Recorder(episodes, self.threads, self.settings)
        for _ in recorder.run():
            pass
        records = []
        for key, frames in zip(episodes, recorder.demonstrations(), strict=True):
            task = YIELD if key.episode % 2 else PICK
            if frames is not None:
                writer.add_episode(frames, task)
            records.append(_record(key.episode, task, frames))
        return records

    def report(self, records: Sequence[EpisodeRecord], folder: Path) -> Sequence[Path]:
        """Draw where the cube was at the start of the demonstrations (Fig. 2)."""
        from codi_franka.rendering.reach_picture import write_start_distribution

        starts = np.array([record["start"] for record in records if record["success"]])
        path = folder / "initial_cube_positions.png"
        return [write_start_distribution(path, starts[:, :2], ARM)]


def _record(number: int, task: str, frames: Frames | None) -> EpisodeRecord:
    if frames is None:
        return {"episode": number, "success": False, "frames": 0, "task": task}
    base = np.array(ARM_BASES[ARM].position)
    start = frames["state.cube_position"][0] - base
    return {
        "episode": number,
        "success": True,
        "frames": len(frames["action"]),
        "task": task,
        "start": [float(value) for value in start],
        "picks": count_picks(frames["action"][:, 6]),
    }


def count_picks(width: NDArray[np.float32]) -> int:
    """How often a gripper closed, from its commands (T,) [m]."""
    closed = width < 0.01
    return int(np.count_nonzero(closed[1:] & ~closed[:-1]))
