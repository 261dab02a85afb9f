"""A disk that drives in any direction at once."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_navigation.vehicles.base import ACCELERATION, PERIOD, TOP_SPEED, Vehicle, running_sum


@attrs.frozen
class Holonomic(Vehicle):
    """Commanded by its velocity in the world frame; speed and acceleration are limited.

    Attributes:
        top_speed: [m/s].
        acceleration: [m/s²].
    """

    kind = "holonomic"
    action_names = ("velocity_x [m/s]", "velocity_y [m/s]")
    turning_round = 0.0  # it drives any way that it faces

    top_speed: float = TOP_SPEED
    acceleration: float = ACCELERATION

    def respond(self, velocity: Tensor, commands: Tensor) -> Tensor:
        """Go towards the shortened command by at most the acceleration in a period."""
        speed = torch.hypot(commands[:, :1], commands[:, 1:])
        wanted = commands * (self.top_speed / speed.clamp_min(self.top_speed))
        most = self.acceleration * PERIOD
        velocities = []
        for target in wanted:
            change = target - velocity
            length = torch.hypot(*change.unbind())
            velocity = torch.addcdiv(velocity, change, length.clamp_min_(most), value=most)
            velocities.append(velocity)
        return torch.stack(velocities)

    def move(self, pose: Tensor, velocities: Tensor, seconds: float) -> Tensor:
        """Along a straight line; the body does not turn."""
        place = pose[:2] + seconds * running_sum(velocities)
        heading = pose[2:].expand(len(velocities), *[-1] * pose.ndim)
        return torch.cat((place, heading.expand(-1, -1, *place.shape[2:])), 1)
