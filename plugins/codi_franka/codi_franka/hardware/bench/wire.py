"""An independent look at what arrived at the wire: every command against the published limits.

It shares nothing with what made the commands: neither code nor numbers.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.trials.judge import (
    ACCELERATION,
    HIGHEST,
    JERK,
    LOWEST,
    WIRE,
    velocity_limits,
)

Array = NDArray[np.float64]

ROW = 17
"""Numbers in a record's row: the peer's tick, the message that is answered, whether the motion
ends, joint velocities (7), joint positions (7)."""

_ROUNDING = 1e-9
_RESTING = 0.02
"""[rad/s] Slower arms may have come to rest."""


@attrs.frozen
class WireReport:
    """What was found in one arm's record.

    Attributes:
        commands: how many there are.
        missing: how many messages were not answered.
        velocity: how many commands exceed the velocity limit at their position.
        acceleration: how many exceed the acceleration limit, by the difference to the one before.
        jerk: likewise, by the difference of differences, over the time between their middles.
        position: how many find a joint beyond its position limits.
        highest: the largest shares of the limits of velocity, acceleration and jerk.
    """

    commands: int
    missing: int
    velocity: int
    acceleration: int
    jerk: int
    position: int
    highest: tuple[float, float, float]

    @property
    def violations(self) -> int:
        """How many there are of any kind."""
        return self.velocity + self.acceleration + self.jerk + self.position


def read_commands(path: Path) -> Array:
    """A record's rows, (T, 17); a last row that was cut off is left out."""
    data = np.fromfile(path)
    return data[: len(data) // ROW * ROW].reshape(-1, ROW)


def check_commands(rows: Array) -> WireReport:
    """Check every command of one arm.

    Args:
        rows: (T, 17), see :data:`ROW`.
    """
    moving = rows[rows[:, 2] == 0.0]
    velocity, position = moving[:, 3:10], moving[:, 10:17]
    steps = np.diff(moving[:, 1])
    # A motion starts from rest, and may begin anew at the next message or much later. One that goes
    # on after a long silence has not come to rest.
    resting = np.abs(velocity[:-1]).max(-1, initial=0.0) < _RESTING
    starts = np.concatenate(([True], (steps <= 0) | ((steps > 50) & resting)))
    lower, upper = velocity_limits(position)
    allowed = np.where(velocity >= 0, upper, -lower)
    speed = np.abs(velocity) / np.maximum(allowed, 1e-6)
    seconds = np.maximum(steps, 1.0) * WIRE
    before = np.where(starts[:, None], 0.0, np.vstack((np.zeros(7), velocity[:-1])))
    lasted = np.where(starts, WIRE, np.concatenate(([WIRE], seconds)))
    acceleration = (velocity - before) / lasted[:, None]
    earlier = np.where(starts[:, None], 0.0, np.vstack((np.zeros(7), acceleration[:-1])))
    # Each is a mean over its time. By the mean value theorem the difference of two, over the time
    # between their middles, is the jerk at some moment, however many messages are missing.
    apart = (lasted + np.where(starts, WIRE, np.concatenate(([WIRE], lasted[:-1])))) / 2
    jerk = (acceleration - earlier) / apart[:, None]
    shares = (speed, np.abs(acceleration) / ACCELERATION, np.abs(jerk) / JERK)
    over = [int((share > 1 + _ROUNDING).any(-1).sum()) for share in shares]
    outside = ((position < LOWEST) | (position > HIGHEST)).any(-1)
    worst = [float(share.max(initial=0.0)) for share in shares]
    return WireReport(
        commands=len(moving),
        missing=int((steps[~starts[1:]] - 1).sum()),
        velocity=over[0],
        acceleration=over[1],
        jerk=over[2],
        position=int(outside.sum()),
        highest=(worst[0], worst[1], worst[2]),
    )
