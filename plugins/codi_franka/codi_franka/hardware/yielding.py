"""Hands that give way to what they run against.

A stiff arm that is wanted a centimetre inside something presses with all its force. So what is
wanted loses, the more the harder the surroundings push, its part against them, and from some force
on the hand retreats. What is left is for the safety layer, which stops both arms.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from codi_franka.hardware.reading import ArmReading
from codi_franka.robot.kinematics import jacobian

Array = NDArray[np.float64]

_DAMPING = 0.05
"""Of the inverse, in the Jacobian's units: near singular postures a hand gives way more slowly."""


@attrs.frozen
class Yielding:
    """How hands give way."""

    light: float = 6.0
    """[N] Up to here nothing changes: estimates of forces are off by some newtons."""
    firm: float = 15.0
    """[N] From here on nothing is left of motions against the force."""
    retreat: float = 0.006
    """[m/s/N] How fast a hand retreats, for each newton more."""
    fastest: float = 0.15
    """[m/s] Of retreats."""

    def __call__(self, wanted: Array, readings: Sequence[ArmReading]) -> Array:
        """Wanted joint velocities (2, 7) [rad/s] that give way where something pushes."""
        forces = np.stack([reading.force for reading in readings])
        strengths = np.linalg.norm(forces, axis=-1)
        if not np.isfinite(strengths).all() or (strengths <= self.light).all():
            return wanted
        positions = np.stack([reading.joint_positions for reading in readings])
        models = jacobian(torch.from_numpy(positions))[:, :3].numpy()
        yielding = wanted.copy()
        for arm in np.flatnonzero(strengths > self.light):
            away = forces[arm] / strengths[arm]
            change = self.change(float(models[arm] @ wanted[arm] @ away), float(strengths[arm]))
            yielding[arm] += _inverse(models[arm]) @ (change * away)
        return yielding

    def change(self, speed: float, strength: float) -> float:
        """What is added to a hand's speed along the force [m/s].

        Args:
            speed: that is wanted along it [m/s]; negative is against it.
            strength: of the force [N].
        """
        share = min(1.0, max(0.0, (strength - self.light) / (self.firm - self.light)))
        given = -min(speed, 0.0) * share
        return given + min(self.fastest, self.retreat * max(0.0, strength - self.firm))


def _inverse(model: Array) -> Array:
    """The damped inverse (7, 3) of a Jacobian's linear part (3, 7)."""
    damped = model @ model.T + _DAMPING**2 * np.eye(3)
    return np.asarray(np.linalg.solve(damped, model).T, np.float64)
