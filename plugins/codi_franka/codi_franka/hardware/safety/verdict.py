"""What the safety layer says about a command."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Reason(StrEnum):
    """Why a command was not sent as it was wanted."""

    COMMAND = "command"
    """It isn't two arms' seven finite numbers. Both arms stop."""
    SPEED = "speed"
    """A joint would be too fast [rad/s]. The arm's velocities are scaled as a whole."""
    HAND_SPEED = "hand-speed"
    """The tool centre point would be too fast [m/s]. Likewise."""
    ACCELERATION = "acceleration"
    """What is wanted jumps [rad/s²]. A ramp is sent."""
    JOINT_LIMIT = "joint-limit"
    """A joint couldn't come to rest before its position limit any more [rad/s]. It is slowed."""
    WORKSPACE = "workspace"
    """A hand would leave its box, or come too near to its own base [m]. It slides along."""
    TABLE = "table"
    """A hand, wrist or elbow would come too near to the table [m]. Likewise."""
    SEPARATION = "separation"
    """The arms would come too near to each other [m]. Likewise."""
    CONTACT = "contact"
    """Something pushes a hand [N]: the arm moves slowly until it no longer does."""
    FORCE = "force"
    """Something pushes a hand hard [N]. Both arms stop."""
    TORQUE = "torque"
    """Something loads a joint hard [N m]. Both arms stop."""
    READING = "reading"
    """An arm reports what can't be. Both arms stop."""
    STALE = "stale"
    """An arm has reported nothing new for too long [s]. Both arms stop."""
    NOT_FOLLOWING = "not-following"
    """An arm isn't where it was told to be [rad]. Both arms stop."""
    ASKED = "asked"
    """Somebody asked for a stop."""
    SELF = "self-collision"
    """An arm would come too near to itself [m]. It slides along, or brakes."""


class Rejection(NamedTuple):
    """One thing that was found wrong."""

    arm: str | None
    """Its name; None where it is about both."""
    reason: Reason
    value: float
    """What was found, in the reason's unit."""
    limit: float
    """What would have been right."""


@attrs.frozen(eq=False)
class Verdict:
    """What may be sent.

    Attributes:
        velocities: (2, 7) joint velocities [rad/s], always within all limits.
        rejections: what was found wrong with what was wanted or read.
        stop: whether both arms are being brought to rest, or are.
    """

    velocities: Array
    rejections: tuple[Rejection, ...]
    stop: bool
