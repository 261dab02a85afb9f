"""Demonstrations of one robot: it drives on random maps to one goal after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.planning import Observation
from codi_core.policies import AgentView
from codi_navigation.collection.expert import Expert
from codi_navigation.collection.script import Script, random_velocities
from codi_navigation.collection.settings import CollectionSettings
from codi_navigation.collection.training_maps import training_problem
from codi_navigation.maps.shapes import Maps
from codi_navigation.routing import plan_routes
from codi_navigation.simulation.contacts import Outcome
from codi_navigation.simulation.environment import GOAL_RADIUS
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team


class SingleRobot(Script):
    """One robot that nobody else meets.

    Args:
        generators: one a demonstration; its map, start and goals come from it.
        kind: the vehicle's kind.
        settings: what varies.
    """

    def __init__(
        self, generators: Sequence[np.random.Generator], kind: str, settings: CollectionSettings
    ) -> None:
        self.kind, self.settings, self.team = kind, settings, Team([kind])
        self.expert = Expert(kind, len(generators), settings.begins)
        self.problems = [training_problem(generator) for generator in generators]
        self.maps = [problem.map for problem in self.problems]
        goals = np.stack([problem.goals for problem in self.problems])
        self.radius = torch.tensor([[problem.radius] for problem in self.problems])
        radii = self.radius.expand(-1, goals.shape[1]).numpy()
        roads = [problem.roads for problem in self.problems]
        self.all = plan_routes(self.maps, goals, radii, roads)
        self.goal = torch.zeros(len(generators), dtype=torch.long)

    def start(self, draws: Tensor) -> NavigationState:
        """At a random place."""
        turned = 2 * torch.pi * draws[..., 0]
        starts = np.stack([problem.start for problem in self.problems])
        return NavigationState(
            position=torch.from_numpy(starts).float().unsqueeze(1),
            heading=turned if self.kind == "unicycle" else torch.zeros_like(turned),
            velocity=random_velocities(self.kind, draws[..., 1:], self.settings.moving_start),
            radius=self.radius,
            maps=Maps.of(self.maps),
            routes=self.all.of(self.goal),
        )

    def act(self, state: NavigationState, draws: Tensor) -> Tensor:
        """The expert's commands, (n, 1, 2)."""
        return self.expert.act(state, draws[:, 0]).unsqueeze(1)

    def follow(self, outcome: Outcome, draws: Tensor) -> NavigationState:
        """A robot that has been at its goal for a while gets the next one."""
        state = outcome.state
        gap = (state.routes.goal - state.position)[:, 0].norm(dim=-1)
        last = self.goal == self.all.goal.shape[1] - 1
        rows = torch.nonzero((gap < GOAL_RADIUS) & (draws < self.settings.stay) & ~last)
        if not len(rows):
            return state
        self.goal[rows] += 1
        return attrs.evolve(state, routes=self.all.of(self.goal))

    def frame(
        self, state: NavigationState, observation: Observation, commands: Tensor
    ) -> Mapping[str, Tensor]:
        """The robot's own observation and command, and the state."""
        return {
            **AgentView(self.team.names[0])(observation),
            "action": commands[:, 0],
            "state.position": state.position[:, 0],
            "state.heading": state.heading,
            "state.velocity": state.velocity[:, 0],
            "state.goal": state.routes.goal[:, 0],
            "state.radius": state.radius,
        }
