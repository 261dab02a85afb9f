"""Rolls chunks out with the vehicles' own dynamics."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.predictors import Prediction, SeparablePredictor
from codi_core.resources import can_branch_on
from codi_navigation.prediction.neighbours import Pairs, neighbours
from codi_navigation.prediction.trajectory import NavigationTrajectory
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team
from codi_navigation.vehicles.base import PERIOD, TOP_SPEED


@attrs.frozen
class PredictorSettings:
    """What the predictor looks at."""

    margin: float = 0.2
    """[m] How much farther apart than what they can drive within a chunk robots may be, and yet
    count as neighbours."""
    neighbours: int = 12
    """How many neighbours of a robot count, the nearest ones."""
    obstacles: int = 6
    """How many obstacles near a robot count, the nearest ones."""


class NavigationPredictor(SeparablePredictor):
    """Foresees free motion: limits of speed and acceleration hold, and nobody is in the way.

    Whether robots then overlap is for the costs to judge. It works on the device of the chunks and
    with their type of numbers, but for the neighbours: see :func:`neighbours`.

    Args:
        team: the robots' kinds.
        settings: what it looks at.
    """

    def __init__(self, team: Team, settings: PredictorSettings | None = None) -> None:
        self.team = team
        self.settings = settings or PredictorSettings()
        self._known: _Known | None = None

    def predict(self, state: NavigationState, chunks: tuple[Tensor, ...]) -> Prediction:
        """Roll all samples out; none ever fails.

        Args:
            state: the state estimate of B worlds.
            chunks: commands (B, M, K, 2) a robot.
        """
        commands = torch.stack(chunks, 1).permute(3, 4, 0, 1, 2).contiguous()  # (K, 2, B, N, M)
        known = self._surroundings(state, commands)
        velocities = self.team.respond(known.velocity, commands)
        path = self.team.move(known.pose, velocities, PERIOD)
        return Prediction(
            NavigationTrajectory(path, known.state, known.pairs, known.obstacles, known.facts)
        )

    def recombine(
        self, trajectory: NavigationTrajectory, numbers: Tensor, moving: Tensor
    ) -> NavigationTrajectory:
        """Other combinations of the robots' paths; pairs of two that don't move are left out."""
        path = trajectory.path
        chosen = path.gather(-1, numbers.unsqueeze(-1).expand(*path.shape[:-1], 1))
        pairs = trajectory.pairs.that_involve(moving)
        return attrs.evolve(
            trajectory, path=torch.where(moving.unsqueeze(-1), path, chosen), pairs=pairs
        )

    def _surroundings(self, given: NavigationState, commands: Tensor) -> _Known:
        # A plan asks once for each denoising step, always from the same state.
        known, asked = self._known, (len(commands), commands.dtype, commands.device)
        if known is None or known.given is not given or known.asked != asked:
            state = given.to(commands.device, commands.dtype)
            settings, far = self.settings, TOP_SPEED * PERIOD * len(commands)
            pairs = neighbours(state, 2 * far + settings.margin, settings.neighbours)
            obstacles = near_obstacles(state, far + settings.margin, settings.obstacles)
            velocity, pose = state.velocity.movedim(-1, 0).unsqueeze(-1), state.pose.unsqueeze(-1)
            known = _Known(given, asked, state, velocity, pose, pairs, obstacles)
            self._known = known
        return known


@attrs.frozen(eq=False)
class _Known:
    """What all predictions from one state share."""

    given: NavigationState
    asked: tuple[int, torch.dtype, torch.device]
    state: NavigationState
    velocity: Tensor
    pose: Tensor
    pairs: Pairs
    obstacles: Tensor
    facts: dict[str, Any] = attrs.field(factory=dict)


def near_obstacles(state: NavigationState, reach: float, most: int) -> Tensor:
    """The obstacles nearest to each robot, (B, N, k, 6), k at most ``most``.

    k is as large as the robot with the most obstacles within ``reach`` of its rim needs, or, where
    looking would wait for a device, as large as it may be.
    """
    gaps = state.maps.distances(state.position) - state.radius.unsqueeze(-1)  # (B, N, O)
    near = gaps.shape[-1]
    if near and can_branch_on(gaps):
        near = int((gaps < reach).sum(-1).max())
    chosen = gaps.topk(min(near, most), dim=-1, largest=False).indices
    shapes = state.maps.obstacles.unsqueeze(1).expand(-1, state.robots, -1, -1)
    return shapes.gather(2, chosen.unsqueeze(-1).expand(-1, -1, -1, 6))
