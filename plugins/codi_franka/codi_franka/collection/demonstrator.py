"""Single-arm demonstrations for ``codi-collect --task franka-handoff``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codi_core.data import DatasetWriter, FeatureSpec
from codi_core.tasks import EpisodeKey, EpisodeRecord
from codi_core.tasks.demonstrator import Demonstrator
from codi_franka.action import ACTION_NAMES
from codi_franka.collection.recorder import ARM, CollectionSettings, Frames, Recorder
from codi_franka.observation import ENVIRONMENT, ENVIRONMENT_NAMES, SHAPES, STATE, STATE_NAMES
from codi_franka.robot.cell import ARM_BASES

PICK = "pick the cube up and place it"
YIELD = "yield to another arm"

_JOINTS = tuple(f"joint{number} [rad]" for number in range(1, 8))
_FEATURES = {
    STATE: FeatureSpec(SHAPES[STATE], STATE_NAMES),
    ENVIRONMENT: FeatureSpec(SHAPES[ENVIRONMENT], ENVIRONMENT_NAMES),
    "action": FeatureSpec((7,), ACTION_NAMES),
    "state.joint_position": FeatureSpec((7,), _JOINTS),
    "state.joint_velocity": FeatureSpec((7,), tuple(f"{name}/s" for name in _JOINTS)),
    "state.gripper_width": FeatureSpec((1,), ("width [m]",)),
    "state.cube_position": FeatureSpec((3,), ("x [m]", "y [m]", "z [m]")),
    "state.cube_quaternion": FeatureSpec((4,), ("w", "x", "y", "z")),
    "state.cube_velocity": FeatureSpec(
        (6,),
        tuple(f"{kind}_{axis}" for kind in ("linear [m/s]", "angular [rad/s]") for axis in "xyz"),
    ),
}


class HandoffDemonstrator(Demonstrator):
    """One arm that picks, places, recovers and yields, in full physics.

    The features under ``state.`` are the task's restorable state, in the world frame; what the
    policy reads is in the arm's base frame.

    Args:
        threads: physics threads, 0 for all processors.
        settings: what the demonstrations vary.
    """

    features = _FEATURES
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
        "picks": _count_picks(frames),
    }


def _count_picks(frames: Frames) -> int:
    """How often the gripper closed, from its commands."""
    closed = frames["action"][:, 6] < 0.01
    return int(np.count_nonzero(closed[1:] & ~closed[:-1]))
