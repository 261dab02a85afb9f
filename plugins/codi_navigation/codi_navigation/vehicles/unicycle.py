"""A disk that drives forwards and backwards, and turns."""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor

from codi_navigation.vehicles.base import (
    ACCELERATION,
    PERIOD,
    TOP_SPEED,
    Vehicle,
    constant,
    running_sum,
)


@attrs.frozen
class Unicycle(Vehicle):
    """Commanded by its forward speed and its turning rate; both, and their changes, are limited.

    Attributes:
        top_speed: [m/s], forwards.
        reverse_speed: [m/s], backwards.
        acceleration: [m/s²].
        turning_rate: [rad/s].
        turning_acceleration: [rad/s²].
    """

    kind = "unicycle"
    action_names = ("forward [m/s]", "turning [rad/s]")

    top_speed: float = TOP_SPEED
    reverse_speed: float = TOP_SPEED / 2
    acceleration: float = ACCELERATION
    turning_rate: float = 3.0
    turning_acceleration: float = 12.0

    @property
    def turning_round(self) -> float:  # type: ignore[override]
        """Half a turn: it speeds up, turns at its full rate and slows down."""
        return math.pi / self.turning_rate + self.turning_rate / self.turning_acceleration

    def respond(self, velocity: Tensor, commands: Tensor) -> Tensor:
        """Go towards the limited command, each number by at most what a period allows."""
        low, high, most = (
            constant(numbers, commands.dtype, commands.device).view(2, *[1] * (velocity.ndim - 1))
            for numbers in (
                (-self.reverse_speed, -self.turning_rate),
                (self.top_speed, self.turning_rate),
                (PERIOD * self.acceleration, PERIOD * self.turning_acceleration),
            )
        )
        velocities = []
        for target in commands.clamp(low, high):
            velocity = velocity + (target - velocity).clamp(-most, most)
            velocities.append(velocity)
        return torch.stack(velocities)

    def move(self, pose: Tensor, velocities: Tensor, seconds: float) -> Tensor:
        """Along arcs, exactly: a chord has the direction of half of its arc's turn."""
        turn = seconds * velocities[:, 1]
        heading = pose[2] + running_sum(turn)
        chord = seconds * velocities[:, 0] * torch.sinc(turn / (2 * math.pi))
        along = heading - turn / 2
        steps = torch.stack((chord * along.cos(), chord * along.sin()), 1)
        return torch.cat((pose[:2] + running_sum(steps), heading.unsqueeze(1)), 1)
