"""What joint demonstrations of the corridor are about, and how well they solve it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_navigation.scenarios.base import time_limit, travel_time
from codi_navigation.scenarios.corridor import Corridor
from codi_navigation.simulation.contacts import Outcome
from codi_navigation.simulation.environment import GOAL_RADIUS
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team
from codi_navigation.vehicles.base import PERIOD

CROSSINGS = 3
"""How often the robots of a demonstration change sides, if there is time."""


class Crossings(NamedTuple):
    """What n demonstrations ask for, and all that is random in it.

    Attributes:
        starts: of the task, (n, N, 2) [m], world frame.
        goals: in each crossing, (n, CROSSINGS, N, 2) [m].
        anywhere: uniform on [0, 1), (n, N, 3): whether a robot starts anywhere, and where.
        turn: uniform, (n, CROSSINGS): who goes first.
        place: uniform, (n, CROSSINGS, 2): where the other one waits.
    """

    starts: Tensor
    goals: Tensor
    anywhere: Tensor
    turn: Tensor
    place: Tensor

    @classmethod
    def drawn(cls, scenario: Corridor, generators: Sequence[np.random.Generator]) -> Crossings:
        """One demonstration's from each generator: problems of the task, there and back again."""
        starts, goals, numbers = [], [], []
        for generator in generators:
            problems = [scenario.problem(generator) for _ in range(CROSSINGS)]
            starts.append(problems[0].starts)
            goals.append([((-1) ** way, 1) * one.goals for way, one in enumerate(problems)])
            numbers.append(generator.random(3 * (scenario.count + CROSSINGS), np.float32))
        uniform = torch.from_numpy(np.stack(numbers)).unflatten(1, (-1, 3))
        anywhere, each = uniform.split([scenario.count, CROSSINGS], 1)
        return cls(
            starts=torch.from_numpy(np.stack(starts)),
            goals=torch.from_numpy(np.array(goals, np.float32)),
            anywhere=anywhere,
            turn=each[..., 0],
            place=each[..., 1:],
        )


@attrs.define(eq=False)
class Score:
    """How n demonstrations go, one entry each.

    Attributes:
        limit: the time limit of the first crossing, as the task has it [s].
        crossings: how often the robots have changed sides.
        contacts: the control steps with a contact.
        completion_time_s: when the first crossing succeeded, as the task asks for: both robots at
            their goals in time, without a contact before; NaN as long as it has not.
        elapsed: control steps since the start.
    """

    limit: Tensor
    crossings: Tensor
    contacts: Tensor
    completion_time_s: Tensor
    elapsed: int = 0

    @classmethod
    def of(cls, state: NavigationState, team: Team) -> Score:
        """For demonstrations of a team that start in this state."""
        longest = state.routes.distance(state.position).amax(-1)
        nothing = torch.zeros(len(longest), dtype=torch.long)
        turn = max(team.turning_round)
        limit = torch.tensor([time_limit(travel_time(length, turn)) for length in longest.tolist()])
        return cls(limit, nothing, nothing, torch.full_like(limit, torch.nan))

    def note(self, outcome: Outcome, crossing: Tensor) -> Tensor:
        """Take in a control period in the crossings numbered (n,); returns who is there, (n,)."""
        state = outcome.state
        gap = (state.routes.goal - state.position).norm(dim=-1)
        there = (gap <= GOAL_RADIUS).all(-1)
        self.elapsed += 1
        self.contacts = self.contacts + (outcome.robot_contact | outcome.obstacle_contact).any(-1)
        self.crossings = torch.where(there, crossing + 1, self.crossings)
        time = torch.full_like(self.limit, round(self.elapsed * PERIOD, 6))
        first = there & (crossing == 0) & self.completion_time_s.isnan()
        solved = first & (self.contacts == 0) & (time <= self.limit)
        self.completion_time_s = torch.where(solved, time, self.completion_time_s)
        return there

    def notes(self) -> Mapping[str, Tensor]:
        """What there is to say in the end, by name."""
        return {
            "success": ~self.completion_time_s.isnan(),
            "completion_time_s": self.completion_time_s,
            "crossings": self.crossings,
            "contacts": self.contacts,
        }
