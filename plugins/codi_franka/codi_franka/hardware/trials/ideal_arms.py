"""Two arms that do exactly as they are told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.trials import judge
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import HOME

Array = NDArray[np.float64]


class IdealArms:
    """Arms that ramp from each commanded velocity to the next.

    Args:
        positions: (2, 7) where they stand at first [rad]; by default at home.
        period: between commands [s].
        delay: how many periods old their reports are.

    Attributes:
        positions: (2, 7) [rad].
        velocities: (2, 7) [rad/s].
        force: (2, 3) on the hands [N].
        torques: (2, 7) external ones [N m].
        silent: whether they report nothing new.
        path: where they were, once a period and at first.
        sent: the commands.
    """

    def __init__(
        self, positions: ArrayLike = (HOME, HOME), period: float = 0.005, delay: int = 0
    ) -> None:
        self.positions = np.array(positions, dtype=np.float64)
        self.velocities = np.zeros_like(self.positions)
        self.period, self.delay = period, delay
        self.force, self.torques = np.zeros((len(ARMS), 3)), np.zeros((len(ARMS), 7))
        self.silent = False
        self.path = [self.positions]
        self.sent: list[Array] = []
        self._latest: list[ArmReading] = []

    @property
    def time(self) -> float:
        """Since the start [s]."""
        return len(self.sent) * self.period

    def readings(self) -> Sequence[ArmReading]:
        """What both report."""
        if not self.silent or not self._latest:
            place = self.path[max(0, len(self.path) - 1 - self.delay)]
            self._latest = [
                ArmReading(
                    time=self.time,
                    joint_positions=place[arm].copy(),
                    joint_velocities=self.velocities[arm].copy(),
                    force=self.force[arm].copy(),
                    joint_torques=self.torques[arm].copy(),
                    desired_positions=place[arm].copy(),
                )
                for arm in range(len(ARMS))
            ]
        return self._latest

    def send(self, velocities: Array) -> None:
        """Follow a command for one period."""
        self.positions = self.positions + self.period / 2 * (self.velocities + velocities)
        self.velocities = np.array(velocities)
        self.path.append(self.positions)
        self.sent.append(self.velocities)

    def violations(self) -> dict[str, float]:
        """By how much they were sent what breaks a published limit, see :mod:`judge`."""
        sent = judge.ramps(np.array(self.sent), self.period)
        return judge.violations(self.path[0], sent)
