"""Joint demonstrations of the corridor: two robots change sides, one of them after the other.

Both are driven by the expert for one robot. What is decided here is who goes first, and where the
other one waits: beside the way, until the passage is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.planning import Observation
from codi_core.policies import observation_feature
from codi_navigation.collection.crossings import CROSSINGS, Crossings, Score
from codi_navigation.collection.expert import Expert, keep_off, surroundings
from codi_navigation.collection.script import Script, random_velocities
from codi_navigation.collection.settings import JointSettings
from codi_navigation.costs.junction import JunctionCost, direction_through
from codi_navigation.maps.shapes import Maps, signed_distance
from codi_navigation.routing import RoutesOnMap
from codi_navigation.scenarios.corridor import DEPTH, HEIGHT, Corridor, CorridorOptions
from codi_navigation.simulation.contacts import Outcome
from codi_navigation.simulation.frames import GOAL
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team

MARGIN, APART = 0.05, 0.1
"""[m] So near robots go to obstacles, and to each other, between their rims."""
FROM_WALL, DEEP = 2.0, 0.6
"""[radii] and [m]: a robot waits so far from the wall with the passage, or up to the second deeper
in its chamber."""
FROM_MIDDLE, FROM_SIDE = 4.0, 1.5
"""[radii] So far it waits, at least, from the passage's middle line and from the walls beside."""
SLOW = 0.3
"""[m] Nearer to an obstacle than that, unicycles start from rest."""


class TwoRobots(Script):
    """Two robots that cross the corridor, and go back again.

    Where one is at the passage already and the other one is not, it goes first; otherwise each is
    as likely to.

    Args:
        generators: one a demonstration; starts, goals, turns and waiting places come from it.
        options: of the corridor.
        settings: what varies.

    Attributes:
        first: who goes first in the present crossing, (n,).
        waits: who waits for the other one now, (n, 2).
    """

    def __init__(
        self,
        generators: Sequence[np.random.Generator],
        options: CorridorOptions,
        settings: JointSettings,
    ) -> None:
        self.kind, self.radius, self.settings = options.vehicle, options.radius, settings
        self.team = Team.of(options.vehicle, options.agents)
        scenario, count = Corridor(options), len(generators)
        self.asked = Crossings.drawn(scenario, generators)
        self.half_length = scenario.half_length
        self.maps = [scenario.map] * count
        self.passage = Maps.of(self.maps).passages[:, 0]
        self.routes = RoutesOnMap(scenario.map, options.radius)
        self.expert = Expert(self.kind, count * len(self.team), settings.begins, MARGIN)
        self.worlds, self.robots = torch.arange(count), torch.arange(len(self.team))
        self.crossing = torch.zeros(count, dtype=torch.long)

    def start(self, draws: Tensor) -> NavigationState:
        """At the task's starts, or anywhere on the same side; nobody is too fast to stop."""
        place, turned = self._starts(), 2 * torch.pi * draws[..., 0]
        state = NavigationState(
            position=place,
            heading=turned if self.kind == "unicycle" else torch.zeros_like(turned),
            velocity=random_velocities(self.kind, draws[..., 1:], self.settings.moving_start),
            radius=torch.full_like(turned, self.radius),
            maps=Maps.of(self.maps),
            routes=self.routes.to(self.asked.goals[:, 0]),
        )
        self.score, self.first = Score.of(state, self.team), self._who_goes_first(state)
        self.waits = torch.zeros_like(turned, dtype=torch.bool)
        return attrs.evolve(state, velocity=self._harmless(state))

    def act(self, state: NavigationState, draws: Tensor) -> Tensor:
        """The commands (n, 2, 2): the expert's, for whom a waiting place is a goal."""
        wants = direction_through(state, self.passage) != 0
        self.waits = wants.all(-1, keepdim=True) & (self.robots != self.first.unsqueeze(-1))
        alone, waits = state.alone(), self.waits.flatten()
        places = self._waiting_places(state).flatten(0, 1).unsqueeze(1)
        routes = attrs.evolve(
            alone.routes,
            goal=torch.where(waits[:, None, None], places, alone.routes.goal),
            # On its own side nothing stands in the way.
            open=alone.routes.open | waits,
        )
        seen = attrs.evolve(alone, routes=routes)
        commands = self.expert.act(seen, draws.flatten(0, 1), _each_other(state))
        return commands.unflatten(0, (-1, len(self.team)))

    def follow(self, outcome: Outcome, draws: Tensor) -> NavigationState:
        """Robots that have both been at their goals for a while change sides again."""
        there = self.score.note(outcome, self.crossing)
        onward = there & (draws < self.settings.stay) & (self.crossing < CROSSINGS - 1)
        if not bool(onward.any()):
            return outcome.state
        self.crossing = self.crossing + onward
        routes = self.routes.to(self.asked.goals[self.worlds, self.crossing])
        state = attrs.evolve(outcome.state, routes=routes)
        self.first = torch.where(onward, self._who_goes_first(state), self.first)
        return state

    def frame(
        self, state: NavigationState, observation: Observation, commands: Tensor
    ) -> Mapping[str, Tensor]:
        """What a recording has, and where the robots are to go."""
        own = zip(self.team.names, commands.unbind(1), strict=True)
        return {
            **{observation_feature(name): value for name, value in observation.items()},
            **{f"action.{robot}": command for robot, command in own},
            "action": commands.flatten(1),
            "state.position": state.position.flatten(1),
            "state.heading": state.heading,
            "state.velocity": state.velocity.flatten(1),
            "state.radius": state.radius,
            GOAL: state.routes.goal.flatten(1),
        }

    def notes(self) -> Mapping[str, Tensor]:
        """How it went."""
        return self.score.notes()

    # -- who goes first, and where the other one waits ------------------------------------------

    def _who_goes_first(self, state: NavigationState) -> Tensor:
        """In crossings that begin in this state, (n,)."""
        gap = signed_distance(state.position, self.passage.unsqueeze(1))
        at = gap < JunctionCost().apron
        either = self.asked.turn[self.worlds, self.crossing] < 0.5
        return torch.where(at[:, 0] == at[:, 1], either, at[:, 1]).long()

    def _waiting_places(self, state: NavigationState) -> Tensor:
        """Where each robot would wait, (n, 2, 2) [m]: not on the other one's way to its goal."""
        deep, beside = self.asked.place[self.worlds, self.crossing].unsqueeze(1).unbind(-1)
        goal = state.routes.goal
        near, far = FROM_MIDDLE * self.radius, HEIGHT / 2 - FROM_SIDE * self.radius
        x = self.half_length + FROM_WALL * self.radius + DEEP * deep
        y = near + (far - near) * beside
        away = torch.where(goal[..., 1].flip(1) > 0, -1.0, 1.0)
        return torch.stack((-goal[..., 0].sign() * x, away * y), -1)

    # -- starts ---------------------------------------------------------------------------------

    def _starts(self) -> Tensor:
        """Where robots start, (n, 2, 2) [m]."""
        place, (chance, along, across) = self.asked.starts, self.asked.anywhere.unbind(-1)
        room = 1.1 * self.radius
        x = self.half_length + room + (DEPTH - 2 * room) * along
        y = (HEIGHT - 2 * room) * (across - 0.5)
        anywhere = torch.stack((place[..., 0].sign() * x, y), -1)
        chosen = chance.unsqueeze(-1) < self.settings.start_anywhere
        return torch.where(chosen, anywhere, place)

    def _harmless(self, state: NavigationState) -> Tensor:
        """The velocities without what would lead into an obstacle, (n, 2, 2)."""
        gaps, away = surroundings(state.alone())
        if self.kind == "holonomic":
            velocity = keep_off(state.velocity.flatten(0, 1), gaps, away, MARGIN)
            return velocity.view_as(state.velocity)
        slow = (gaps.amin(-1) < SLOW).view_as(state.heading)
        return state.velocity.masked_fill(slow.unsqueeze(-1), 0.0)


def _each_other(state: NavigationState) -> tuple[Tensor, Tensor]:
    """The robots as obstacles to each other: gaps (2 n, 1) [m] and unit vectors (2 n, 1, 2).

    Half of the room between them is each one's to use.
    """
    offset = state.position - state.position.flip(1)
    distance = offset.norm(dim=-1, keepdim=True)
    room = distance - state.radius.sum(-1)[:, None, None] - APART
    gaps = (room / 2 + MARGIN).flatten(0, 1)
    return gaps, (offset / distance.clamp_min(1e-6)).flatten(0, 1).unsqueeze(1)
