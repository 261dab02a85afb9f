r"""A pose with its velocity and their spread over time: a Kalman filter on small errors.

The error is a step (6,) of the pose in the world frame, as :func:`codi_franka.vision.poses.moved`
takes it, and the difference of the twist (6,). Left alone, a cube comes to rest, and at any time it
may be pushed: each component v of its twist is an Ornstein-Uhlenbeck process,

.. math:: dv = -v/\tau \, dt + \sigma \sqrt{2/\tau} \, dw,

whose standard deviation is :math:`\sigma` in the long run. A step of time is exact, so that it does
not matter how many pictures it is cut into.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.poses import difference, inverse, moved

Array = NDArray[np.float64]

_REST = 0.5
"""[s] In which what nobody touches loses most of its velocity."""
_SLIP = np.array([0.004] * 3 + [0.04] * 3)
"""[m/√s], [rad/√s] How a cube drifts in a hand."""
_DROP = np.array([0.005] * 3 + [0.05] * 3)
"""[m], [rad] By which a cube moves as a hand lets go of it."""
_TWIST = np.array([0.15] * 3 + [2.0] * 3)
"""[m/s], [rad/s] Spread of the velocity of a cube that has been seen once."""


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
        self.covariance[6:, 6:] = np.diag(_TWIST**2)

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
        self.covariance = transition @ self.covariance @ transition.T + _pushes(step)
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
        self._doubt_twist(_TWIST / 10)
        self.time = max(time, self.time)

    def let_go(self, height: float) -> None:
        """Leave the hand: what is dropped comes to rest about below, its centre that high [m]."""
        self.rest()
        # A new pose: copies share the old one.
        self.pose = moved(self.pose, (0, 0, height - self.pose[2, 3], 0, 0, 0))
        self.covariance[:6, :6] += np.diag(_DROP**2)
        self._doubt_twist(_TWIST)

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
        self._take_in(slice(6), difference(pose, self.pose), covariance)

    def correct_height(self, height: float, spread: float) -> None:
        """Take in that the centre is that high [m], known to ``spread`` [m].

        What makes the place uncertain is mostly one camera's distance, so that this moves it along
        that camera's line of sight.
        """
        self._take_in(slice(2, 3), np.array([height - self.pose[2, 3]]), np.array([[spread**2]]))

    def _take_in(self, rows: slice, step: Array, covariance: Array) -> None:
        """Correct by some rows of the error: how far they were measured off, and its covariance."""
        spread = self.covariance[rows, rows] + covariance
        gain = np.linalg.solve(spread, self.covariance[rows]).T  # (12, k)
        update = gain @ step
        self.pose, self.twist = moved(self.pose, update[:6]), self.twist + update[6:]
        left = np.eye(12)
        left[:, rows] -= gain
        self.covariance = left @ self.covariance @ left.T + gain @ covariance @ gain.T

    def _doubt_twist(self, spread: Array) -> None:
        """Know the twist to a spread (6,) only, whatever is known about the pose."""
        self.covariance[6:, 6:] = np.diag(spread**2)
        self.covariance[:6, 6:] = self.covariance[6:, :6] = 0.0


def _pushes(step: float) -> Array:
    """What pushes add to the covariance within ``step`` [s], (12, 12)."""
    left, fade = 1 - np.exp(-step / _REST), np.exp(-2 * step / _REST)
    places = 2 * _REST * (step - 2 * _REST * left) + _REST**2 * (1 - fade)
    both, twists = _REST * left**2, 1 - fade
    return np.kron([[places, both], [both, twists]], np.diag(_TWIST**2))
