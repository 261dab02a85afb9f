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
    """Not seen for longer: this is where it was. Planning may go on; arms must not rely on it."""
    LOST = "lost"
    """Never seen, or not for so long, or moved by somebody: there is no pose to plan with."""

    @property
    def trusted(self) -> bool:
        """Whether arms may move by it."""
        return self not in (CubeStatus.STALE, CubeStatus.LOST)


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
    """

    time: float
    pose: Array
    twist: Array
    covariance: Array
    status: CubeStatus
