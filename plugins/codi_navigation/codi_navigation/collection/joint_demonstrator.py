"""Joint demonstrations for ``codi-collect --task navigation-corridor --agents 2 --joint``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from codi_core.data import DatasetWriter, FeatureSpec
from codi_core.errors import UsageError
from codi_core.policies import observation_feature
from codi_core.tasks import EpisodeKey, EpisodeRecord
from codi_core.tasks.demonstrator import Demonstrator
from codi_navigation.collection.recorder import Demonstration, Recorder
from codi_navigation.collection.settings import JointSettings
from codi_navigation.collection.two_robots import TwoRobots
from codi_navigation.observation import ENVIRONMENT, ENVIRONMENT_NAMES, STATE, state_names
from codi_navigation.scenarios.corridor import CorridorOptions
from codi_navigation.simulation.frames import GOAL
from codi_navigation.vehicles import VEHICLES, Team
from codi_navigation.vehicles.team import MIXED

TASK = "change sides through the passage, one after the other"
ROBOTS = 2


class CorridorJointDemonstrator(Demonstrator):
    """Two robots that change sides in the corridor and go back again.

    The frames have the layout of recordings, and the goals besides. A demonstration succeeds when
    its first crossing does, as the task asks for; the others are kept, too, because they show how
    to go on from there.

    Args:
        options: of the corridor.
        settings: what the demonstrations vary.

    Raises:
        UsageError: more than two robots, or both kinds at once.
    """

    def __init__(self, options: CorridorOptions, settings: JointSettings | None = None) -> None:
        if options.agents != ROBOTS:
            raise UsageError(
                f"--agents {options.agents}: joint demonstrations of the corridor are of {ROBOTS} "
                f"robots; give --agents {ROBOTS}"
            )
        if options.vehicle == MIXED:
            raise UsageError(
                "--vehicle mixed: robots of joint demonstrations are of one kind; give --vehicle "
                f"{' or --vehicle '.join(VEHICLES)}"
            )
        settings = settings or JointSettings()
        script = partial(TwoRobots, options=options, settings=settings)
        self.recorder = Recorder(script, settings)
        self.robot_type = f"{ROBOTS} disk_{options.vehicle}"
        self.features = joint_features(Team.of(options.vehicle, options.agents))

    def collect(
        self, episodes: Sequence[EpisodeKey], writer: DatasetWriter
    ) -> Sequence[EpisodeRecord]:
        """Demonstrate these episodes."""
        records = []
        for key, made in zip(episodes, self.recorder.record(episodes), strict=True):
            writer.add_episode(made.frames, TASK)
            records.append(_record(key, made))
        return records

    def report(self, records: Sequence[EpisodeRecord], folder: Path) -> Sequence[Path]:
        """Draw what the demonstrations look like."""
        from codi_navigation.collection.picture import write_crossings, write_demonstrations

        keys = [EpisodeKey(record["seed"], record["episode"]) for record in records[:12]]
        made = self.recorder.record(keys)
        return [
            write_demonstrations(folder / "demonstrations.png", made),
            write_crossings(folder / "crossings.png", made[:6]),
        ]


def joint_features(team: Team) -> dict[str, FeatureSpec]:
    """What joint demonstrations of a team hold."""
    features = {}
    for kind, robot in zip(team.kinds, team.names, strict=True):
        for name, names in ((STATE, state_names(kind)), (ENVIRONMENT, ENVIRONMENT_NAMES)):
            features[observation_feature(f"{robot}/{name}")] = FeatureSpec((len(names),), names)
        actions = VEHICLES[kind].action_names
        features[f"action.{robot}"] = FeatureSpec((len(actions),), actions)
    commands = [VEHICLES[kind].action_names for kind in team.kinds]
    numbers: dict[str, Sequence[tuple[str, ...]]] = {
        "action": commands,
        "state.position": [("x [m]", "y [m]")] * len(team),
        "state.heading": [("heading [rad]",)] * len(team),
        "state.velocity": commands,
        "state.radius": [("radius [m]",)] * len(team),
        GOAL: [("x [m]", "y [m]")] * len(team),
    }
    for feature, each in numbers.items():
        own = zip(team.names, each, strict=True)
        names = tuple(f"{robot}/{name}" for robot, mine in own for name in mine)
        features[feature] = FeatureSpec((len(names),), names)
    return features


def _record(key: EpisodeKey, made: Demonstration) -> EpisodeRecord:
    notes = dict(made.notes)
    if math.isnan(notes["completion_time_s"]):
        notes["completion_time_s"] = None
    return {
        "seed": key.seed,
        "episode": key.episode,
        "frames": len(made.frames["action"]),
        **notes,
    }
