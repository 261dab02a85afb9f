"""What tracking says about the cube, and how far that can be relied on."""

from __future__ import annotations

from enum import Enum

import attrs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class CubeStatus(Enum):
    """What a cube's estimate rests on."""

    SEEN = "seen"
    """Markers were seen and agreed, a moment ago."""
    PREDICTED = "predicted"
    """Nothing is seen at the moment, for so short a time that the motion can be continued."""
    HELD = "held"
    """A closed gripper holds the cube: it moves with the hand, seen or not."""
    STALE = "stale"
    """Not seen for longer, or contradicted: this is where it was. Planning goes on for a bounded
    time; then it is lost."""
    LOST = "lost"
    """Never seen, not for too long, or taken away: there is no pose to plan with, arms wait."""

    @property
    def usable(self) -> bool:
        """Whether there is a pose to plan with; without one the arms wait."""
        return self is not CubeStatus.LOST


class Cause(Enum):
    """Why an estimate is not what was just seen."""

    HIDDEN = "hidden"
    """Cameras deliver, but no marker can be read."""
    TAKEN = "taken"
    """It vanished while it moved, or from mid-air, and no gripper holds it: somebody has it."""
    JUMPED = "jumped"
    """Markers are seen somewhere else; a few pictures must agree before that is believed."""
    DISAGREE = "disagree"
    """Markers contradict one another: a camera was moved, or a marker hangs loose."""
    CAMERAS_SILENT = "cameras silent"
    """No camera delivers."""
    CAMERAS_FROZEN = "cameras frozen"
    """Cameras deliver the same picture over and over."""


@attrs.frozen(eq=False)
class CubeEstimate:
    """A cube's pose with its age and spread, in the world frame, SI units.

    Attributes:
        time: when what the estimate rests on was seen, on the plant's clock [s].
        pose: (7,) the centre's position [m] and the quaternion wxyz, at the time that was asked
            for.
        twist: (6,) linear [m/s] and angular velocity [rad/s].
        covariance: (6, 6) of the position [m] and the rotation vector [rad] about the pose, in the
            world frame.
        status: what it rests on.
        cause: why nothing was seen just now; None for what was.
    """

    time: float
    pose: Array
    twist: Array
    covariance: Array
    status: CubeStatus
    cause: Cause | None = None
