"""Joint demonstrations of both arms for ``codi-collect --task franka-handoff --joint``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codi_core.data import DatasetWriter
from codi_core.tasks import EpisodeKey, EpisodeRecord
from codi_core.tasks.demonstrator import Demonstrator
from codi_franka.collection.demonstrator import count_picks
from codi_franka.collection.frames import joint_features, joint_frame
from codi_franka.collection.recorder import Frames, Recorder
from codi_franka.collection.settings import CollectionSettings
from codi_franka.collection.two_arms import TwoArms
from codi_franka.robot.cell import ARMS

HAND_OVER = "bring the cube to a goal, from arm to arm where one alone does not reach it"

JOINT_SETTINGS = CollectionSettings(jump_anywhere=0.05)
"""A cube that neither arm reaches stops the demonstration until it jumps; a cube that is only out
of one arm's reach is there anyway."""


class HandoffJointDemonstrator(Demonstrator):
    """Two arms that bring cubes to random goals and hand them over, in full physics.

    The frames have the layout of recordings. A demonstration succeeds when its first goal is
    reached; the others are kept, too, because they show how to recover from jumps. A record also
    counts the goals, the handovers, the picks, and the steps in which the arms touched each other.

    Args:
        threads: physics threads, 0 for all processors.
        settings: what the demonstrations vary.
    """

    features = joint_features()
    robot_type = "two franka_fr3"

    def __init__(self, threads: int = 0, settings: CollectionSettings | None = None) -> None:
        self.threads = threads
        self.settings = settings or JOINT_SETTINGS

    def collect(
        self, episodes: Sequence[EpisodeKey], writer: DatasetWriter
    ) -> Sequence[EpisodeRecord]:
        """Demonstrate these episodes in one batch.

        Each depends on its key alone, to the bit, whatever the batch.
        """
        recorder = Recorder(episodes, self.threads, self.settings, TwoArms, joint_frame)
        for _ in recorder.run():
            pass
        records = []
        for world, frames in enumerate(recorder.demonstrations()):
            if frames is not None:
                writer.add_episode(frames, HAND_OVER)
            records.append(_record(episodes[world].episode, world, frames, recorder))
        return records

    def report(self, records: Sequence[EpisodeRecord], folder: Path) -> Sequence[Path]:
        """Draw where the cube was at the start of the demonstrations (Fig. 2)."""
        from codi_franka.rendering.reach_picture import write_joint_start_distribution

        starts = np.array([record["start"] for record in records if record["frames"]])
        path = folder / "initial_cube_positions.png"
        return [write_joint_start_distribution(path, starts[:, :2])]


def _record(number: int, world: int, frames: Frames | None, recorder: Recorder) -> EpisodeRecord:
    if frames is None:
        return {"episode": number, "success": False, "frames": 0, "task": HAND_OVER}
    counted = {name: int(count[world]) for name, count in recorder.script.counts.items()}
    return {
        "episode": number,
        "success": counted["goals"] > 0,
        "frames": len(frames["action"]),
        "task": HAND_OVER,
        "start": [float(value) for value in frames["state.cube_position"][0]],
        "picks": sum(count_picks(frames[f"action.{arm}"][:, 6]) for arm in ARMS),
        "contacts": int(recorder.contacts[world]),
        **counted,
    }
