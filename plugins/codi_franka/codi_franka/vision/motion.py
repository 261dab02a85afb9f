"""A pose with its velocity and their spread over time: a Kalman filter on small errors.

The error is a step (6,) of the pose in the world frame, as :func:`codi_franka.vision.poses.moved`
takes it, and the difference of the twist (6,). Left alone, a cube comes to rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.poses import difference, inverse, moved

Array = NDArray[np.float64]

_REST = 0.5
"""[s] In which what nobody touches loses most of its velocity."""
_PUSH = np.array([2.0] * 3 + [10.0] * 3)
"""[m/s²], [rad/s²] Changes of velocity that nobody announces."""
_SLIP = np.array([0.004] * 3 + [0.04] * 3)
"""[m/√s], [rad/√s] How a cube drifts in a hand."""
_FIRST_TWIST = np.array([0.3] * 3 + [2.0] * 3)
"""[m/s], [rad/s] Spread of the velocity of a cube that is seen for the first time."""


class CubeMotion:
    """The filter.

    Args:
        time: of the first pose [s].
        pose: (4, 4), in the world.
        covariance: (6, 6).
    """

    def __init__(self, time: float, pose: Array, covariance: Array) -> None:
        self.time = time
        self.pose = pose
        self.twist = np.zeros(6)
        self.covariance = np.zeros((12, 12))
        self.covariance[:6, :6] = covariance
        self.covariance[6:, 6:] = np.diag(_FIRST_TWIST**2)

    def copy(self) -> CubeMotion:
        """Another one in the same state."""
        twin = CubeMotion(self.time, self.pose, self.covariance[:6, :6])
        twin.twist, twin.covariance = self.twist, self.covariance.copy()
        return twin

    def coast(self, time: float) -> None:
        """Go on to ``time`` with nobody touching the cube."""
        step = max(time - self.time, 0.0)
        fade = np.exp(-step / _REST)
        gain = _REST * (1 - fade)
        self.pose = moved(self.pose, gain * self.twist)
        self.twist = fade * self.twist
        transition = np.eye(12)
        transition[:6, 6:] = gain * np.eye(6)
        transition[6:, 6:] = fade * np.eye(6)
        push = np.concatenate((np.diag(step**2 / 2 * _PUSH), np.diag(step * _PUSH)))
        self.covariance = transition @ self.covariance @ transition.T + push @ push.T
        self.time = max(time, self.time)

    def carry(self, time: float, before: Array, after: Array) -> None:
        """Go on to ``time`` with the hand that holds the cube.

        Args:
            time: [s].
            before: (4, 4), the hand's pose at the time of the state.
            after: (4, 4), at ``time``.
        """
        step = max(time - self.time, 0.0)
        start, self.pose = self.pose, after @ inverse(before) @ self.pose
        if step > 0:
            self.twist = difference(self.pose, start) / step
        self.covariance[:6, :6] += step * np.diag(_SLIP**2)
        self.covariance[6:, 6:] = np.diag((_FIRST_TWIST / 10) ** 2)
        self.covariance[:6, 6:] = self.covariance[6:, :6] = 0.0
        self.time = max(time, self.time)

    def rest(self) -> None:
        """Forget the velocity: the pose stays where it is."""
        self.twist = np.zeros(6)

    def surprise(self, pose: Array, covariance: Array) -> tuple[Array, float]:
        """How far a measured pose is away: the step (6,), and the same in standard deviations."""
        step = difference(pose, self.pose)
        spread = self.covariance[:6, :6] + covariance
        return step, float(np.sqrt(step @ np.linalg.solve(spread, step)))

    def correct(self, pose: Array, covariance: Array) -> None:
        """Take in a pose (4, 4) with its covariance (6, 6), measured at the time of the state."""
        step = difference(pose, self.pose)
        spread = self.covariance[:6, :6] + covariance
        gain = np.linalg.solve(spread, self.covariance[:6]).T  # (12, 6)
        update = gain @ step
        self.pose, self.twist = moved(self.pose, update[:6]), self.twist + update[6:]
        left = np.eye(12)
        left[:, :6] -= gain
        self.covariance = left @ self.covariance @ left.T + gain @ covariance @ gain.T
