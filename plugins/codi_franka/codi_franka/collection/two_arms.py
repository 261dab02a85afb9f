"""The scripted two-arm expert of Sec. VII-A: one arm engages, the other one goes home.

Both hands are moved by the single-arm expert of Sec. VI. What is decided here is whose turn it is,
and where the cube is brought: to a goal that is random and not observed, or, where the arm whose
turn it is does not reach the goal, to a place that both arms reach, where the other takes over.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codi_core.planning import NoiseSource, stream
from codi_core.tasks import EpisodeKey
from codi_franka.collection.expert import (
    DRAWS,
    GOALS_BY_RADIUS,
    Expert,
    Phase,
    Seen,
    within_reach,
)
from codi_franka.collection.script import Script
from codi_franka.robot.cell import ARMS
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.reach import OUTER_RADIUS
from codi_franka.state import FrankaState
from codi_franka.workspace import (
    across,
    graspable,
    sample_graspable,
    sample_graspable_by_both,
)

NOBODY = -1

SHARED_RADIUS = OUTER_RADIUS - 0.02
"""[m] From both bases: a cube that is put down for the other arm is not lost to it by an error of
a centimetre."""
PLACED = 0.05
"""[m] A cube that is let go so near to where it was brought is placed there."""
CLEAR = 0.3
"""[m] An arm sets out for the cube when the other hand is farther from it than this (the paper's
collision radius, Table I)."""

COUNTED = ("goals", "handovers")
"""How many goals were reached, and how often the cube was put down for the other arm."""

_AT_WORK = (Phase.CLOSE, Phase.CARRY, Phase.OPEN, Phase.RETREAT)
"""Phases that end by themselves."""


class TwoArms(Script):
    """Two arms that bring cubes to goals, one at a time.

    Where both arms reach the cube, each is as likely to get the turn, except that a cube that was
    put down for the other arm is the other arm's. A cube that jumps is anybody's again.

    Args:
        episodes: one key a demonstration.
        noise: one stream an episode.

    Attributes:
        turn: (n,), the index of the arm that may engage, or ``NOBODY``.
        goal: (n, 2) [m], where the cube is to be brought now, in the left arm's base frame.
        giver: (n,), the index of the arm that put the cube down for the other, or ``NOBODY``.
        counts: of :data:`COUNTED`.
    """

    arms = ARMS
    draws = 1 + DRAWS * len(ARMS)

    def __init__(self, episodes: Sequence[EpisodeKey], noise: NoiseSource) -> None:
        self.noise = noise
        self.bases = BaseFrames.of(self.arms)
        worlds = len(episodes)
        self.goal = self._either(torch.ones(worlds, dtype=torch.bool), GOALS_BY_RADIUS)
        self.turn = torch.full((worlds,), NOBODY)
        self.giver = torch.full((worlds,), NOBODY)
        self.counts = {name: torch.zeros(worlds, dtype=torch.long) for name in COUNTED}
        hands = [
            (key.seed, key.episode, stream(f"codi-franka {arm} expert"))
            for arm in self.arms
            for key in episodes
        ]
        never = torch.zeros(len(hands), dtype=torch.bool)
        self.expert = Expert(never, NoiseSource(hands), goals=self._aims)

    @property
    def phase(self) -> Tensor:
        """What each hand is doing, (N, n), see :class:`~codi_franka.collection.expert.Phase`."""
        return self.expert.memory.phase.view(len(self.arms), -1)

    def act(self, state: FrankaState, hands: HandState, draw: Tensor, jumped: Tensor) -> Tensor:
        """The actions (n, 2, 7)."""
        seen = Seen.of(state, hands, self.bases)
        choice, others = draw[:, 0], draw[:, 1:].unflatten(-1, (len(self.arms), DRAWS))
        self._take_turns(seen, jumped, choice)
        before, allowed = self.phase, self._allowed(seen)
        action = self.expert.act(seen, others.transpose(0, 1).flatten(0, 1), allowed.flatten())
        self._follow(before, seen)
        return action.unflatten(0, (len(self.arms), -1)).transpose(0, 1)

    def places(self, where: Tensor) -> Tensor:
        """Places (n, 2) that the one or the other arm reaches."""
        return self._either(where)

    # -- turns ----------------------------------------------------------------------------------

    def _mine(self) -> Tensor:
        """Whether it is each hand's turn, (N, n)."""
        return self.turn == torch.arange(len(self.arms)).unsqueeze(1)

    def _take_turns(self, seen: Seen, jumped: Tensor, choice: Tensor) -> None:
        """Choose an arm wherever it is nobody's turn, or the cube has got out of its reach."""
        self.giver = torch.where(jumped, NOBODY, self.giver)
        reach = within_reach(seen.cube).view(len(self.arms), -1)
        out = self._mine() & ~reach & ~self._in(_AT_WORK)
        able = reach & (self.giver != torch.arange(len(self.arms)).unsqueeze(1))
        able = torch.where(able.any(0), able, reach)
        only = torch.where(able[0], 0, torch.where(able[1], 1, NOBODY))
        chosen = torch.where(able.all(0), (choice < 0.5).long(), only)
        free = jumped | (self.turn == NOBODY) | out.any(0)
        self.turn = torch.where(free, chosen, self.turn)

    def _allowed(self, seen: Seen) -> Tensor:
        """Which hands may go to the cube, (N, n): none sets out before the other one is clear."""
        distance = (seen.cube - seen.tcp).norm(dim=-1).view(len(self.arms), -1)
        clear = distance.flip(0) > CLEAR
        timer = self.expert.memory.timer.view(len(self.arms), -1)
        under_way = self._in(_AT_WORK) | (self._in((Phase.APPROACH,)) & (timer > 0))
        return self._mine() & (clear | under_way)

    def _follow(self, before: Tensor, seen: Seen) -> None:
        """Draw the conclusions from what the hands have begun, given their phases before."""
        phase, aims = self.phase, self.expert.memory.goal
        let_go = (before == Phase.OPEN) & (phase == Phase.RETREAT)
        there = (seen.cube[:, :2] - aims).norm(dim=-1).view(len(self.arms), -1) < PLACED
        placed, own = let_go & there, graspable(self._goals(), OUTER_RADIUS)
        left = self._mine() & (phase == Phase.HOMING) & (before != Phase.HOMING)
        gave, reached = (placed & ~own).any(0), (placed & own).any(0)
        self.giver = torch.where(gave, (placed & ~own).int().argmax(0), self.giver)
        self.giver = torch.where(reached, NOBODY, self.giver)
        self.turn = torch.where(gave | left.any(0), NOBODY, self.turn)
        self.counts["handovers"] += gave
        self.counts["goals"] += reached
        if reached.any():
            fresh = self._either(reached, GOALS_BY_RADIUS)
            self.goal = torch.where(reached.unsqueeze(-1), fresh, self.goal)

    def _in(self, phases: tuple[Phase, ...]) -> Tensor:
        return torch.isin(self.phase, torch.tensor(phases))

    # -- goals ----------------------------------------------------------------------------------

    def _goals(self) -> Tensor:
        """The goal in each arm's base frame, (N, n, 2)."""
        return torch.stack((self.goal, across(self.goal)))

    def _aims(self, where: Tensor) -> Tensor:
        """Where each hand would bring the cube, (N·n, 2): to the goal, or within both's reach."""
        goals = self._goals()
        own = graspable(goals, OUTER_RADIUS)
        passes = where.view(len(self.arms), -1) & ~own
        place = sample_graspable_by_both(self.noise, SHARED_RADIUS, passes.any(0))
        places = torch.stack((place, across(place)))
        return torch.where(own.unsqueeze(-1), goals, places).flatten(0, 1)

    def _either(self, where: Tensor, by_radius: float = 0.0) -> Tensor:
        """Places (n, 2) in the left arm's base frame that an arm, chosen at random, reaches."""
        with self.noise.only(where):
            left = self.noise.uniform(1) < 0.5
        near = sample_graspable(self.noise, by_radius, OUTER_RADIUS, where)
        return torch.where(left, near, across(near))
