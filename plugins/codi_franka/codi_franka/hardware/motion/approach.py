"""Slow motions towards joint positions, without a plan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GAIN = 1.5
"""[1/s] The share of the way that is left, gone each second."""


def approach(left: Array, speed: float) -> Array:
    """Joint velocities (..., 7) [rad/s] that go a straight way, slower near its end.

    Args:
        left: (..., 7) the way that is left [rad].
        speed: of each arm's fastest joint, at most [rad/s].
    """
    velocity = GAIN * left
    fastest = np.abs(velocity).max(-1, keepdims=True)
    slowed: Array = velocity * np.minimum(1.0, speed / np.maximum(fastest, 1e-9))
    return slowed
