"""Arms whose hands carry the cameras look around for a cube that none of them sees.

A camera on a hand sees what the hand points at. Whoever puts the cube elsewhere would be waited for
for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.motion.approach import approach
from codi_franka.hardware.reading import ArmReading
from codi_franka.robot.controller import HOME

Array = NDArray[np.float64]

_RAISED = 0.2
"""[rad] As near as that to their places, the other joints are high enough to turn the first."""


@attrs.frozen
class LookingAround:
    """Raises both hands, tilts them outwards, and turns the arms to and fro, slowly."""

    after: float = 3.0
    """[s] For which arms just wait: a cube that is hidden shows up again."""
    tilt: float = 0.3
    """[rad] Of joint 6 from home: so cameras beside the flange see from the base to the table's
    edges."""
    sweep: float = 1.1
    """[rad] Of joint 1, to both sides."""
    seconds: float = 12.0
    """[s] Of a round."""
    speed: float = 0.6
    """[rad/s] Of the fastest joint: the hand's speed is 0.25 m/s."""

    def __call__(self, waited: float, readings: Sequence[ArmReading]) -> Array:
        """Joint velocities (2, 7) [rad/s].

        Args:
            waited: for how long nobody has known where the cube is [s].
            readings: of both arms.
        """
        positions = np.stack([reading.joint_positions for reading in readings])
        if waited < self.after:
            return np.zeros_like(positions)
        target = np.tile(HOME, (len(positions), 1))
        target[:, 0] = self.sweep * np.sin(2 * np.pi * (waited - self.after) / self.seconds)
        target[:, 5] += self.tilt
        left = target - positions
        low = np.abs(left[:, 1:]).max(-1) > _RAISED
        left[low, 0] = 0.0
        return approach(left, self.speed)
