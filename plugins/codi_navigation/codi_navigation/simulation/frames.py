"""From recorded frames back to what was known, and how robots stand still."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from codi_core.errors import DatasetError
from codi_core.planning import Observation
from codi_core.policies import observation_feature
from codi_core.tasks import EpisodeKey, recorded_feature
from codi_navigation.maps.shapes import Map, Maps
from codi_navigation.observation import SHAPES
from codi_navigation.routing import RoutesOnMap
from codi_navigation.scenarios.base import Scenario
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team

GOAL = "state.goal"
"""The feature that says where the robots of a frame were to go, (2 N) [m]."""


_feature = partial(recorded_feature, of="the task with as many robots")


class Restorer:
    """Restores recorded frames of a scenario whose map is the same in all episodes.

    A route is searched once for each goal, when it is met first.

    Args:
        scenario: has such a map.
        one: the map.
        team: the robots' kinds.
        radius: of the robots [m].
    """

    def __init__(self, scenario: Scenario, one: Map, team: Team, radius: float) -> None:
        self.scenario, self.team, self.radius = scenario, team, radius
        self._maps = Maps.of([one])
        self._routes = RoutesOnMap(one, radius)

    def __call__(self, frames: Mapping[str, Tensor]) -> tuple[NavigationState, Observation]:
        """The state estimate and the joint observation of recorded frames.

        Args:
            frames: of joint demonstrations or of a recording, (n, size) each, by feature. A
                recording has no ``state.goal``: its goals follow from ``episode``.

        Returns:
            The state of n worlds, and the observation, named tensors (n, ...).

        Raises:
            DatasetError: a feature is missing, or the frames are of another team or corridor.
        """
        names = [f"{robot}/{name}" for robot in self.team.names for name in SHAPES]
        seen = {name: _feature(frames, observation_feature(name)) for name in names}
        place = _feature(frames, "state.position").unflatten(-1, (len(self.team), 2))
        state = NavigationState(
            position=place,
            heading=_feature(frames, "state.heading"),
            velocity=_feature(frames, "state.velocity").unflatten(-1, (len(self.team), 2)),
            radius=_feature(frames, "state.radius"),
            maps=self._maps.of_worlds(torch.zeros(len(place), dtype=torch.long)),
            routes=self._routes.to(self._goals(frames)),
        )
        self._check(state)
        return state, seen

    def _goals(self, frames: Mapping[str, Tensor]) -> Tensor:
        """Where the robots were to go, (n, N, 2)."""
        if GOAL in frames or "episode" not in frames:
            return _feature(frames, GOAL).unflatten(-1, (len(self.team), 2))
        keys, rows = frames["episode"].long().unique(dim=0, return_inverse=True)
        problems = [self.scenario.of_episode(EpisodeKey(*key)) for key in keys.tolist()]
        return torch.from_numpy(np.stack([problem.goals for problem in problems]))[rows]

    def _check(self, state: NavigationState) -> None:
        other = (state.radius - self.radius).abs() > 1e-6
        inside = state.maps.distance(state.position) < state.radius - 1e-3
        if bool(other.any()):
            raise DatasetError(
                f"the frames are of robots of radius {float(state.radius[other][0]):g} m, the "
                f"task's have {self.radius:g} m: give the task the data's --radius"
            )
        if bool(inside.any()):
            raise DatasetError(
                "robots of the frames stand inside the task's obstacles: give the task the options "
                "that its data were collected with"
            )


def hold(state: NavigationState) -> tuple[Tensor, ...]:
    """One command a robot, (B, 2), with which it brakes and stands still.

    Args:
        state: of B worlds.
    """
    return torch.zeros_like(state.velocity).unbind(1)
