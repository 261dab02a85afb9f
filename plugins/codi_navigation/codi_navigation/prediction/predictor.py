"""Rolls chunks out with the vehicles' own dynamics."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.predictors import Prediction, Predictor
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


class NavigationPredictor(Predictor):
    """Foresees free motion: limits of speed and acceleration hold, and nobody is in the way.

    Whether robots then overlap is for the costs to judge.

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
        known = self._surroundings(state, len(commands))
        velocities = self.team.respond(known.velocity, commands)
        path = self.team.move(known.pose, velocities, PERIOD)
        return Prediction(
            NavigationTrajectory(path, state, known.pairs, known.obstacles, known.facts)
        )

    def _surroundings(self, state: NavigationState, steps: int) -> _Known:
        # A plan asks once for each denoising step, always from the same state.
        if self._known is None or self._known.state is not state or self._known.steps != steps:
            settings, far = self.settings, TOP_SPEED * PERIOD * steps
            pairs = neighbours(state, 2 * far + settings.margin, settings.neighbours)
            obstacles = near_obstacles(state, far + settings.margin, settings.obstacles)
            velocity, pose = state.velocity.movedim(-1, 0).unsqueeze(-1), state.pose.unsqueeze(-1)
            self._known = _Known(state, steps, velocity, pose, pairs, obstacles)
        return self._known


@attrs.frozen(eq=False)
class _Known:
    """What all predictions from one state share."""

    state: NavigationState
    steps: int
    velocity: Tensor
    pose: Tensor
    pairs: Pairs
    obstacles: Tensor
    facts: dict[str, Any] = attrs.field(factory=dict)


def near_obstacles(state: NavigationState, reach: float, most: int) -> Tensor:
    """The obstacles nearest to each robot, (B, N, k, 6), k at most ``most``.

    k is as large as the robot with the most obstacles within ``reach`` of its rim needs.
    """
    gaps = state.maps.distances(state.position) - state.radius.unsqueeze(-1)  # (B, N, O)
    near = int((gaps < reach).sum(-1).max()) if gaps.shape[-1] else 0
    chosen = gaps.topk(min(near, most), dim=-1, largest=False).indices
    shapes = state.maps.obstacles.unsqueeze(1).expand(-1, state.robots, -1, -1)
    return shapes.gather(2, chosen.unsqueeze(-1).expand(-1, -1, -1, 6))
