"""The scripted expert: one robot that follows its shortest path and, now and then, gives way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codi_navigation.collection.behaviours import AT_GOAL, BEGINS, Behaviours
from codi_navigation.maps.shapes import signed_distance
from codi_navigation.prediction.predictor import near_obstacles
from codi_navigation.state import NavigationState
from codi_navigation.vehicles.base import TOP_SPEED

LOOK_AHEAD = 0.5
"""[m] The point on the path that is steered for."""
BRAKING = 1.6
"""[m/s²] With which it comes to rest at the goal."""
APPROACH = 3.0
"""[1/s] Very near to the goal, speed is that times the distance."""
CAUTION, KEEP_OFF = 4.0, 0.02
"""[1/s] and [m]: towards an obstacle, speed is at most the first times the gap over the second."""
STEERING = 5.0
"""[1/s] A unicycle turns with that times the angle to where it wants to go."""
_NUDGE = 2e-3
"""[m] For the slope of the distance to obstacles."""


class Expert:
    """Commands for n robots, one in each world.

    Args:
        kind: the vehicles' kind.
        count: n.
        begins: that a behaviour begins, in each step of driving to the goal.
        margin: how near it goes to obstacles [m].
    """

    def __init__(
        self, kind: str, count: int, begins: float = BEGINS, margin: float = KEEP_OFF
    ) -> None:
        self.kind, self.margin = kind, margin
        self.behaviours = Behaviours(count, begins)

    def act(
        self, state: NavigationState, draws: Tensor, others: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """The commands (n, 2) in n worlds with one robot each.

        Args:
            state: of the worlds.
            draws: what decides about behaviours, see :meth:`Behaviours.advance`.
            others: gaps to whom the robots keep off as they do off obstacles (n, k) [m], and unit
                vectors away from them (n, k, 2).
        """
        here, routes = state.position, state.routes
        to_go = routes.distance(here)[:, 0]
        target = routes.ahead(here, (LOOK_AHEAD,))[0]
        gap = (target - here)[:, 0]
        bearing = torch.atan2(gap[:, 1], gap[:, 0])
        speed = torch.minimum((2 * BRAKING * to_go).sqrt(), APPROACH * to_go).clamp_max(TOP_SPEED)
        on, direction, pace = self.behaviours.advance(bearing, to_go, draws)
        direction, speed = torch.where(on, direction, bearing), torch.where(on, pace, speed)
        wanted = speed.unsqueeze(-1) * _unit(direction)
        gaps, away = surroundings(state)
        if others is not None:
            # Obstacles have the last word.
            gaps, away = torch.cat((others[0], gaps), 1), torch.cat((others[1], away), 1)
        wanted = keep_off(wanted, gaps, away, self.margin)
        if self.kind == "holonomic":
            return wanted
        resting = ~on & (to_go < AT_GOAL / 6)
        return self._steer(
            wanted, state.heading[:, 0], on & self.behaviours.backs, gaps, away, resting
        )

    def _steer(
        self,
        wanted: Tensor,
        heading: Tensor,
        backs: Tensor,
        gaps: Tensor,
        away: Tensor,
        resting: Tensor,
    ) -> Tensor:
        """Forward and turning rates that bring a unicycle to move as wanted (n, 2)."""
        length = wanted.norm(dim=-1)
        error = _wrapped(torch.atan2(wanted[:, 1], wanted[:, 0]) - heading)
        reverse = backs & (error.abs() > math.pi / 2)
        error = torch.where(reverse, _wrapped(error + math.pi), error)
        sign = torch.where(reverse, -1.0, 1.0)
        # It turns on the spot if it stands across its way.
        forward = sign * length * error.cos().clamp_min(0.0) ** 2
        motion = keep_off(forward.unsqueeze(-1) * _unit(heading), gaps, away, self.margin)
        along = (motion * _unit(heading)).sum(-1)
        still = (length < 0.02) | resting
        turning = torch.where(still, 0.0, STEERING * error)
        return torch.stack((along, turning), -1)


def surroundings(state: NavigationState) -> tuple[Tensor, Tensor]:
    """Gaps to the nearest obstacles (n, k) [m] and unit vectors away from them (n, k, 2)."""
    shapes = near_obstacles(state, 1.0, 3)[:, 0]
    nudges = _NUDGE * torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    points = (state.position + nudges).unsqueeze(2)  # (n, 5, 1, 2)
    found = signed_distance(points, shapes.unsqueeze(1))  # (n, 5, k)
    slope = torch.stack((found[:, 1] - found[:, 2], found[:, 3] - found[:, 4]), -1)
    away = torch.nn.functional.normalize(slope, dim=-1)
    return found[:, 0] - state.radius, away


def keep_off(velocity: Tensor, gaps: Tensor, away: Tensor, margin: float = KEEP_OFF) -> Tensor:
    """Slow down what of velocities (n, 2) leads towards obstacles; what leads along them stays."""
    for gap, normal in zip(gaps.unbind(1), away.unbind(1), strict=True):
        towards = -(velocity * normal).sum(-1)
        excess = (towards - CAUTION * (gap - margin)).clamp_min(0.0)
        velocity = velocity + excess.unsqueeze(-1) * normal
    return velocity


def _unit(angle: Tensor) -> Tensor:
    return torch.stack((angle.cos(), angle.sin()), -1)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
