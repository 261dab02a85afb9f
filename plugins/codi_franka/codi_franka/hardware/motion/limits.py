r"""The limits that a Franka Research 3 imposes on commanded joint velocities, and our own within.

Franka's documentation ("Robot and interface specifications", limits for Franka Research 3) and the
rate limiter of its client library publish them. A command beyond one of them ends the motion. The
velocity limit falls towards a position limit,

.. math:: \dot q_{max}(q) = \min(v, \max(0, -o + \sqrt{\max(0, 2 d (q_{end} - q))})),

and likewise on the other side. Later documents allow wider position ranges; these are the
narrower ones of the first, which hold for every arm.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import UsageError
from codi_franka.robot.parameters import LINKS, POSITION_LOWER, POSITION_UPPER, VELOCITY_LIMIT

Array = NDArray[np.float64]

WIRE_PERIOD = 1e-3
"""[s] Of the arm's own control: its limits are judged by differences of commands so far apart."""
_ROUNDING = 2.0
"""[periods] A stop begins with the next command, and ends with a whole period."""


def _array(values: tuple[float, ...]) -> Array:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


@attrs.frozen(eq=False)
class JointLimits:
    """Limits of an arm's seven joints, (7,) each unless said otherwise.

    Attributes:
        lowest: position limits [rad].
        highest: position limits [rad].
        speed: far from the position limits [rad/s].
        acceleration: [rad/s²], of all joints.
        jerk: [rad/s³], of all joints.
        torque: [N m].
        envelope_lowest: where the lower velocity limit's curve ends [rad].
        envelope_highest: where the upper velocity limit's curve ends [rad].
        envelope_offset: o above [rad/s].
        envelope_deceleration: d above [rad/s²].
        envelope_share: the share of the velocity limits' curves that is used.
    """

    lowest: Array
    highest: Array
    speed: Array
    acceleration: float
    jerk: float
    torque: Array
    envelope_lowest: Array
    envelope_highest: Array
    envelope_offset: Array
    envelope_deceleration: Array
    envelope_share: float = 1.0

    def velocity_bounds(self, positions: Array) -> tuple[Array, Array]:
        """The lowest and the highest velocity (..., 7) [rad/s] at positions (..., 7) [rad]."""
        return -self.curve(positions - self.envelope_lowest), self.curve(
            self.envelope_highest - positions
        )

    def curve(self, left: Array) -> Array:
        """The highest speed (..., 7) [rad/s] with that much left to the curve's end, (..., 7)."""
        root = np.sqrt(np.maximum(2 * self.envelope_deceleration * left, 0.0))
        curve = np.maximum(root - self.envelope_offset, 0.0)
        return np.minimum(self.speed, self.envelope_share * curve)


PUBLISHED = JointLimits(
    lowest=_array(POSITION_LOWER),
    highest=_array(POSITION_UPPER),
    speed=_array(VELOCITY_LIMIT),
    acceleration=10.0,
    jerk=5000.0,
    torque=_array(tuple(link.torque_limit for link in LINKS)),
    envelope_lowest=_array((-2.7501, -1.7918, -2.9065, -3.0481, -2.8101, 0.54092, -3.0196)),
    envelope_highest=_array((2.7501, 1.7918, 2.9065, -0.1458, 2.8101, 4.5205, 3.0196)),
    envelope_offset=_array((0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35)),
    envelope_deceleration=_array((6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0)),
)
"""What Franka publishes for the FR3."""


def _share(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0.0 < value <= 1.0:
        raise UsageError(f"{attribute.name} is a share above 0 and up to 1, not {value:g}")


@attrs.frozen
class Margins:
    """How far inside the published limits commands stay."""

    position: float = attrs.field(default=0.015)
    """[rad] Less than the shared controller keeps, so that it turns back first."""
    speed: float = attrs.field(default=0.9, validator=_share)
    """The share of the velocity limits, and of their curves towards the position limits."""
    acceleration: float = attrs.field(default=0.6, validator=_share)
    """The share of the acceleration limit that following takes."""
    braking: float = attrs.field(default=0.9, validator=_share)
    """The share of the acceleration limit that coming to rest takes."""
    jerk: float = attrs.field(default=0.9, validator=_share)
    """The share of the jerk limit."""

    @position.validator
    def _check_position(self, _: object, value: float) -> None:
        if not 0.0 <= value <= 0.5:
            raise UsageError(f"the position margin is from 0 to 0.5 rad, not {value:g}")

    def __attrs_post_init__(self) -> None:
        if self.braking < self.acceleration:
            raise UsageError("an arm must be able to brake as hard as it accelerates")


@attrs.frozen(eq=False)
class MotionLimits:
    """What commands keep to when they are sent once a period, within :data:`PUBLISHED`.

    Attributes:
        period: between two commands [s].
        joints: the limits of position and velocity; the speed is such that arms come to rest in
            time from it.
        acceleration: while following [rad/s²].
        braking: the deceleration to rest [rad/s²].
        step: the largest change of the acceleration from one period to the next [rad/s²].
    """

    period: float
    joints: JointLimits
    acceleration: float
    braking: float
    step: float

    @classmethod
    def of(
        cls, period: float, stop_seconds: float, margins: Margins | None = None, speed: float = 1.0
    ) -> MotionLimits:
        """The limits for a stream.

        What comes between two commands may be a ramp, whose acceleration jumps at its ends: such a
        jump must be within the jerk limit over one cycle of the arm, however long the period is.

        Args:
            period: between two commands [s].
            stop_seconds: within which arms come to rest from any motion [s].
            margins: to the published limits.
            speed: the share of the speeds that is used, for first runs.

        Raises:
            UsageError: the period or a share is impossible, or no speed allows such a stop.
        """
        if not WIRE_PERIOD <= period <= 0.02:
            raise UsageError(f"a stream's period is from 1 to 20 ms, not {1e3 * period:g} ms")
        if not 0.0 < speed <= 1.0:
            raise UsageError(f"a speed is a share above 0 and up to 1, not {speed:g}")
        margins = margins or Margins()
        acceleration = margins.acceleration * PUBLISHED.acceleration
        braking = margins.braking * PUBLISHED.acceleration
        step = margins.jerk * PUBLISHED.jerk * WIRE_PERIOD
        stoppable = stoppable_speed(stop_seconds, period, acceleration, braking, step)
        if stoppable <= 0.0:
            raise UsageError(
                f"arms can't come to rest within {stop_seconds:g} s at any speed when commands are "
                f"{1e3 * period:g} ms apart: allow them longer, or send more often"
            )
        highest = speed * np.minimum(margins.speed * PUBLISHED.speed, stoppable)
        joints = attrs.evolve(
            PUBLISHED,
            lowest=PUBLISHED.lowest + margins.position,
            highest=PUBLISHED.highest - margins.position,
            speed=highest,
            envelope_share=margins.speed,
        )
        return cls(period, joints, acceleration, braking, step)

    @property
    def jerk(self) -> float:
        """[rad/s³] The mean over one period."""
        return self.step / self.period


def stopping_time(
    speed: float, acceleration: float, braking: float, jerk: float, period: float = 0.0
) -> float:
    """How long a joint takes at most to come to rest [s].

    Args:
        speed: that it has [rad/s].
        acceleration: with which it gets faster when it is told to stop [rad/s²].
        braking: its deceleration [rad/s²].
        jerk: [rad/s³].
        period: between commands [s]; some of them are lost to rounding.
    """
    turning = (acceleration + braking) / jerk
    return speed / braking + turning + acceleration**2 / (2 * jerk * braking) + _ROUNDING * period


def stoppable_speed(
    seconds: float, period: float, acceleration: float, braking: float, step: float
) -> float:
    """The speed [rad/s] from which :func:`stopping_time` is ``seconds`` [s]."""
    without = stopping_time(0.0, acceleration, braking, step / period, period)
    return braking * (seconds - without)
