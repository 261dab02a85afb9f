"""A guard that stops arms which would run into each other.

It is part of the plant, as the safety controller of a robot cell is: whatever a policy commands,
an arm does not move nearer to another arm than a margin. Moving apart is always possible.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_franka.robot.clearance import arm_clearance, arm_points, hands_apart
from codi_franka.state import BaseFrames, HandState


@attrs.frozen(eq=False)
class SeparationGuard:
    """Takes the linear velocity off commands that would bring arms too near to each other."""

    bases: BaseFrames
    margin: float = 0.04
    """[m] Between the capsules that stand for the arms' bodies."""
    horizon: float = 0.25
    """[s] How far ahead it looks: a control period, and the arms' lag in stopping."""

    def restrain(self, hands: HandState, twist: Tensor) -> Tensor:
        """Guarded twists.

        Args:
            hands: the hands now, each in its arm's base frame.
            twist: commands (B, N, 6) [m/s, rad/s], within the controller's limits.
        """
        world = self.bases.points_to_world(hands.position)
        if hands_apart(world):
            return twist
        now = self._clearance(hands.position)
        coasting = hands.position + 0.1 * hands.linear_velocity
        guarded = twist.clone()
        for arm in range(twist.shape[1]):
            ahead = coasting.clone()
            ahead[:, arm] = hands.position[:, arm] + self.horizon * twist[:, arm, :3]
            then = self._clearance(ahead)
            stop = (then < self.margin) & (then < now)
            guarded[:, arm, :3] = torch.where(stop.unsqueeze(-1), 0.0, twist[:, arm, :3])
        return guarded

    def _clearance(self, position: Tensor) -> Tensor:
        return arm_clearance(self.bases.arms_to_world(arm_points(position)))
