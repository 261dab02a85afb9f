"""What the expert does besides driving to its goal: the ways of giving way to somebody.

No other robot is there. A policy that has seen one robot slow down, stop, step aside, back away and
go round to the left or the right, at any place and speed, and go on afterwards, can do all of that
when a cost asks for it.
"""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from codi_navigation.vehicles.base import PERIOD, TOP_SPEED


@attrs.frozen
class Behaviour:
    """How a kind of behaviour is drawn.

    Attributes:
        share: how often it is chosen, relative to the others.
        angle: lowest and highest angle to the way to the goal [rad]; left or right at random.
        speed: lowest and highest share of the top speed.
        seconds: shortest and longest duration [s].
        follows: whether the angle is to the way as it bends; otherwise the direction stays.
        backs: whether a unicycle drives backwards.
    """

    share: float
    angle: tuple[float, float]
    speed: tuple[float, float]
    seconds: tuple[float, float]
    follows: bool = False
    backs: bool = False


def _degrees(low: float, high: float) -> tuple[float, float]:
    return math.radians(low), math.radians(high)


BEHAVIOURS = {
    "slow down": Behaviour(0.15, _degrees(0, 10), (0.1, 0.75), (0.4, 2.0), follows=True),
    "stop": Behaviour(0.17, _degrees(0, 0), (0.0, 0.0), (0.4, 3.0)),
    "step aside": Behaviour(0.18, _degrees(60, 120), (0.3, 1.0), (0.3, 1.4)),
    "back away": Behaviour(0.12, _degrees(140, 180), (0.2, 0.9), (0.3, 1.5), backs=True),
    "go round": Behaviour(0.28, _degrees(15, 80), (0.5, 1.0), (0.4, 2.2), follows=True),
    "wander": Behaviour(0.10, _degrees(0, 180), (0.0, 1.0), (0.3, 1.2)),
}
"""By name; "go round" to the left or the right with many curvatures."""

BEGINS = 0.035
"""That a behaviour begins, in each step of driving to the goal."""
ANOTHER = 0.3
"""That another one follows at once when a behaviour ends."""
AT_GOAL = 0.3
"""[m] Nearer to its goal than that there is no way to it: directions are any."""


DRAWS = 7
"""How many random numbers the behaviours of one robot take in each step."""


class Behaviours:
    """Which behaviour each of n robots shows now.

    Args:
        count: n.
        begins: that a behaviour begins, in each step of driving to the goal.
    """

    def __init__(self, count: int, begins: float = BEGINS) -> None:
        self.begins = begins
        kinds = BEHAVIOURS.values()
        self._table = torch.tensor([[*kind.angle, *kind.speed, *kind.seconds] for kind in kinds])
        share = torch.tensor([kind.share for kind in kinds])
        self._share_up_to = (share / share.sum()).cumsum(0)
        self._follows = torch.tensor([kind.follows for kind in kinds])
        self._backs = torch.tensor([kind.backs for kind in kinds])
        self.left = torch.zeros(count, dtype=torch.long)
        """How many steps the present behaviour still lasts; 0 for driving to the goal."""
        self.angle = torch.zeros(count)
        self.speed = torch.zeros(count)
        self.follows = torch.zeros(count, dtype=torch.bool)
        self.backs = torch.zeros(count, dtype=torch.bool)

    def advance(
        self, bearing: Tensor, to_go: Tensor, draws: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The next step.

        Args:
            bearing: of the way to the goal (n,) [rad], world frame.
            to_go: the distance to the goal (n,) [m].
            draws: uniform on [0, 1), (n, DRAWS); robots whose draws are equal do the same.

        Returns:
            Whether a behaviour is on (n,), its direction (n,) [rad] in the world frame, and its
            speed (n,) [m/s].
        """
        ended = self.left == 1
        self.left = (self.left - 1).clamp_min(0)
        chance = torch.where(ended, ANOTHER, self.begins)
        begins = (self.left == 0) & (draws[:, 0] < chance)
        self._begin(begins, bearing, to_go < AT_GOAL, draws[:, 1:])
        on = self.left > 0
        return on, torch.where(self.follows, bearing + self.angle, self.angle), self.speed

    def _begin(self, begins: Tensor, bearing: Tensor, at_goal: Tensor, draws: Tensor) -> None:
        kind = torch.searchsorted(self._share_up_to[:-1], draws[:, 0].contiguous(), right=True)
        low, high = self._table[kind].view(-1, 3, 2).unbind(-1)
        drawn = low + (high - low) * draws[:, 1:4]
        side = torch.where(draws[:, 4] < 0.5, -1.0, 1.0)
        anywhere = 2 * math.pi * draws[:, 5]
        follows = self._follows[kind] & ~at_goal
        angle = side * drawn[:, 0] + torch.where(follows, 0.0, bearing)
        angle = torch.where(at_goal, anywhere, angle)
        steps = (drawn[:, 2] / PERIOD).round().long().clamp_min(1)
        self.left = torch.where(begins, steps, self.left)
        self.angle = torch.where(begins, angle, self.angle)
        self.speed = torch.where(begins, TOP_SPEED * drawn[:, 1], self.speed)
        self.follows = torch.where(begins, follows, self.follows)
        # At its goal a unicycle leaves in whichever way it stands.
        backs = self._backs[kind] | (at_goal & (side > 0))
        self.backs = torch.where(begins, backs, self.backs)
