"""What an arm reports about itself, many times a second."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@attrs.frozen(eq=False)
class ArmReading:
    """One arm's measurements of one moment, SI units. Nothing in it is to be trusted unchecked.

    Attributes:
        time: when it was measured, on the plant's clock [s].
        joint_positions: (7,) measured [rad].
        joint_velocities: (7,) measured [rad/s].
        force: (3,) that the surroundings exert on the hand, estimated by the arm, base frame [N].
        joint_torques: (7,) external, estimated by the arm: without its own weight and motion [N m].
        desired_positions: (7,) where the arm's own control has got with what it was sent [rad]. It
            judges commands by these.
    """

    time: float
    joint_positions: Array
    joint_velocities: Array
    force: Array
    joint_torques: Array
    desired_positions: Array
