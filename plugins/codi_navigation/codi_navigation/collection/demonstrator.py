"""Single-robot demonstrations for ``codi-collect``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from codi_core.data import DatasetWriter, FeatureSpec
from codi_core.errors import UsageError
from codi_core.tasks import EpisodeKey, EpisodeRecord
from codi_core.tasks.demonstrator import Demonstrator
from codi_navigation.collection.recorder import Recorder
from codi_navigation.collection.settings import CollectionSettings
from codi_navigation.collection.single_robot import SingleRobot
from codi_navigation.observation import (
    ENVIRONMENT,
    ENVIRONMENT_NAMES,
    SHAPES,
    STATE,
    state_names,
)
from codi_navigation.vehicles import VEHICLES
from codi_navigation.vehicles.team import MIXED

TASK = "drive to the goal, and give way now and then"
_PLACE = ("x [m]", "y [m]")


class NavigationDemonstrator(Demonstrator):
    """One robot of one kind on random maps, whatever scenario it is collected for.

    The features under ``state.`` are the restorable state of the robot, in the world frame;
    ``state.episode`` (seed, number) restores the map.

    Args:
        vehicle: the vehicle kind.
        settings: what the demonstrations vary.

    Raises:
        UsageError: both kinds at once.
    """

    def __init__(self, vehicle: str, settings: CollectionSettings | None = None) -> None:
        if vehicle == MIXED:
            raise UsageError(
                "--vehicle mixed: each kind learns from its own demonstrations; collect them with "
                f"--vehicle {' and with --vehicle '.join(VEHICLES)}"
            )
        settings = settings or CollectionSettings()
        script = partial(SingleRobot, kind=vehicle, settings=settings)
        self.recorder = Recorder(script, settings)
        names = state_names(vehicle)
        self.robot_type = f"disk_{vehicle}"
        self.features = {
            STATE: FeatureSpec(SHAPES[STATE], names),
            ENVIRONMENT: FeatureSpec(SHAPES[ENVIRONMENT], ENVIRONMENT_NAMES),
            "action": FeatureSpec((2,), names),
            "state.position": FeatureSpec((2,), _PLACE),
            "state.heading": FeatureSpec((1,), ("heading [rad]",)),
            "state.velocity": FeatureSpec((2,), names),
            "state.goal": FeatureSpec((2,), _PLACE),
            "state.radius": FeatureSpec((1,), ("radius [m]",)),
            "state.episode": FeatureSpec((2,), ("seed", "number"), "int64"),
        }

    def collect(
        self, episodes: Sequence[EpisodeKey], writer: DatasetWriter
    ) -> Sequence[EpisodeRecord]:
        """Demonstrate these episodes."""
        records = []
        for key, made in zip(episodes, self.recorder.record(episodes), strict=True):
            frames, length = made.frames, len(made.frames["action"])
            source = np.tile(np.array([key.seed, key.episode]), (length, 1))
            writer.add_episode({**frames, "state.episode": source}, TASK)
            records.append(_record(key, frames))
        return records

    def report(self, records: Sequence[EpisodeRecord], folder: Path) -> Sequence[Path]:
        """Draw what the demonstrations look like."""
        from codi_navigation.collection.picture import write_demonstrations

        seeds = [(record["seed"], record["episode"]) for record in records[:12]]
        keys = [EpisodeKey(*pair) for pair in seeds]
        demonstrations = self.recorder.record(keys)
        return [write_demonstrations(folder / "demonstrations.png", demonstrations)]


def _record(key: EpisodeKey, frames: dict[str, np.ndarray]) -> EpisodeRecord:
    gap = np.linalg.norm(frames["state.goal"][-1] - frames["state.position"][-1])
    steps = np.diff(frames["state.position"], axis=0)
    return {
        "seed": key.seed,
        "episode": key.episode,
        "success": True,
        "frames": len(frames["action"]),
        "last_goal_distance_m": round(float(gap), 4),
        "path_length_m": round(float(np.linalg.norm(steps, axis=-1).sum()), 3),
    }
