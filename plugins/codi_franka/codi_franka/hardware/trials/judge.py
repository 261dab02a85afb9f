"""What an FR3 would say about commands. It shares no code, and no number, with what made them.

The numbers are those of Franka's page "Robot and interface specifications" for the FR3, typed in
once more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIRE = 1e-3
"""[s] An FR3 takes one command each millisecond."""

LOWEST = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
HIGHEST = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
"""[rad]"""
_CURVES = (
    (2.62, 0.30, 12.0, 2.7501, 2.7501),
    (2.62, 0.20, 5.17, 1.7918, 1.7918),
    (2.62, 0.20, 7.00, 2.9065, 2.9065),
    (2.62, 0.30, 8.00, -0.1458, 3.0481),
    (5.26, 0.35, 34.0, 2.8101, 2.8101),
    (4.18, 0.35, 11.0, 4.5205, -0.54092),
    (5.26, 0.35, 34.0, 3.0196, 3.0196),
)
"""Of each joint: the velocity limit, its offset, twice its deceleration, where the curves end."""
SPEED = np.array([curve[0] for curve in _CURVES])
"""[rad/s] Far from the position limits."""
ACCELERATION = 10.0
"""[rad/s²]"""
JERK = 5000.0
"""[rad/s³]"""
_ROUNDING = 1e-9
"""The share of a limit that differences of rounded numbers may be off."""


def velocity_limits(positions: Array) -> tuple[Array, Array]:
    """FR3's own lower and upper velocity limits (..., 7) [rad/s] at positions (..., 7) [rad]."""
    upper, lower = np.empty_like(positions), np.empty_like(positions)
    for joint, (most, offset, twice, above, below) in enumerate(_CURVES):
        angle = positions[..., joint]
        for limit, left in ((upper, above - angle), (lower, below + angle)):
            root = np.sqrt(np.clip(twice * left, 0.0, None)) - offset
            limit[..., joint] = np.clip(root, 0.0, most)
    return -lower, upper


def ramps(commands: Array, period: float) -> Array:
    """What goes over the wire, from rest: a ramp from each command to the next.

    Args:
        commands: (T, ..., 7) joint velocities [rad/s], the first one period after the start.
        period: between them [s].

    Returns:
        (S, ..., 7), once a millisecond from the start on, without the zero there.
    """
    count = round(period / WIRE)
    ends = np.concatenate((np.zeros_like(commands[:1]), commands))
    share = (np.arange(1, count + 1) / count).reshape(1, -1, *[1] * (ends.ndim - 1))
    steps = ends[:-1, None] + share * (ends[1:] - ends[:-1])[:, None]
    return steps.reshape(-1, *ends.shape[1:])


def violations(start: Array, sent: Array) -> dict[str, float]:
    """By how much commands at 1 kHz break the published limits; 0 where they keep them.

    Args:
        start: (..., 7) where the arms are at rest before [rad].
        sent: (S, ..., 7) joint velocities [rad/s].
    """
    from_rest = np.concatenate((np.zeros_like(sent[:1]), sent))
    acceleration = np.diff(from_rest, axis=0) / WIRE
    jerk = np.diff(np.concatenate((np.zeros_like(sent[:1]), acceleration)), axis=0) / WIRE
    position = start + WIRE * np.cumsum((from_rest[1:] + from_rest[:-1]) / 2, 0)
    lower, upper = velocity_limits(position)
    excess = {
        "position": np.maximum(position - HIGHEST, LOWEST - position),
        "velocity": np.maximum(sent - upper, lower - sent),
        "acceleration": np.abs(acceleration) - ACCELERATION * (1 + _ROUNDING),
        "jerk": np.abs(jerk) - JERK * (1 + _ROUNDING),
    }
    return {name: max(0.0, float(value.max())) for name, value in excess.items()}


NONE = {"position": 0.0, "velocity": 0.0, "acceleration": 0.0, "jerk": 0.0}
"""Commands that keep all limits."""
