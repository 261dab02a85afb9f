"""A guard that keeps arms from running into each other.

It is part of the plant, as the safety controller of a robot cell is: whatever a policy commands,
arms come no nearer to each other than a margin. It is a control barrier function (Ames et al.,
2019) on the clearance d of the arms' bodies: each arm's share of the rate of d is kept above
-gain (d - margin) / N by adding to its velocity along the gradient of d. So arms slow down as they
come nearer, slide along each other instead of stopping, and are pushed apart within the margin.
"""

from __future__ import annotations

from functools import cache

import attrs
import torch
from torch import Tensor

from codi_franka.robot.clearance import arm_clearance, arm_points, hands_apart
from codi_franka.robot.frames import BaseFrames, HandState

_PROBE = 1e-3
"""[m] The step of the finite differences."""


@attrs.frozen(eq=False)
class SeparationGuard:
    """Bends commands that would bring arms too near to each other."""

    bases: BaseFrames
    margin: float = 0.04
    """[m] Between the capsules that stand for the arms' bodies."""
    gain: float = 4.0
    """[1/s] How fast the clearance may approach the margin, per metre left."""
    lag: float = 0.1
    """[s] For which an arm still follows its earlier commands."""
    push: float = 0.25
    """[m/s] The fastest that the guard drives an arm away from another."""

    def restrain(self, hands: HandState, twist: Tensor) -> Tensor:
        """Guarded twists.

        Args:
            hands: the hands now, each in its arm's base frame.
            twist: commands (B, N, 6) [m/s, rad/s], within the controller's limits.
        """
        coasting = hands.position + self.lag * hands.linear_velocity
        if hands_apart(self.bases.points_to_world(coasting)):
            return twist
        clearance, gradient = self._clearance(coasting)
        steepness = gradient.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        away = gradient / steepness
        linear = twist[..., :3]
        # All in speeds of the hand along the gradient.
        speed = (away * linear).sum(-1, keepdim=True)
        room = (clearance - self.margin)[:, None, None]
        slowest = -self.gain * room / (linear.shape[1] * steepness)
        least = torch.minimum(slowest, torch.full_like(slowest, self.push))
        # An arm that cannot change the clearance is left alone.
        matters = steepness > 0.05
        added = torch.where(matters, (least - speed).clamp_min(0.0), 0.0)
        return torch.cat((linear + added * away, twist[..., 3:]), -1)

    def _clearance(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """The clearance (B,) [m], and how it changes with each hand's position, (B, N, 3)."""
        worlds, arms, _ = position.shape
        probes = _probes(arms, position.dtype, position.device)
        tried = position.unsqueeze(1) + probes  # (B, 1 + 3 N, N, 3)
        clearance = arm_clearance(self.bases.arms_to_world(arm_points(tried)))
        here = clearance[:, 0]
        slope = (clearance[:, 1:] - here.unsqueeze(1)) / _PROBE
        return here, slope.view(worlds, arms, 3)


@cache
@torch.inference_mode(False)  # they outlive the plan that asks first
def _probes(arms: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """No step, and a small one of each hand along each axis: (1 + 3 N, N, 3) [m]."""
    steps = _PROBE * torch.eye(3 * arms).view(3 * arms, arms, 3)
    return torch.cat((torch.zeros_like(steps[:1]), steps)).to(device, dtype)
