"""What the tracker was measured to get wrong, to disturb a simulation's truth with.

The numbers are those of ``docs/hardware/cameras.md``: two fixed cameras of 1280 x 720 pixels,
situation ``table``, look ``ordinary``, from ``codi-bench tracking --moments 40 --empty 0``. The
time that a picture takes is that of USB cameras at 30 Hz, which is assumed, and of tracking on one
core, which is measured.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.estimate import CubeEstimate
from codi_franka.vision.poses import from_pose, moved, to_pose

Array = NDArray[np.float64]


@attrs.frozen
class MeasuredErrors:
    """Errors of single sightings; the tracker averages over some of them.

    Attributes:
        position: standard deviation along each axis where both cameras see markers [m].
        rotation: about each axis [rad].
        alone: the share of the moments in which one camera alone sees markers.
        alone_position: standard deviation then, along that camera's line of sight [m].
        sight: that line, a unit vector in the world frame.
        dropouts: the share of the moments without a pose.
        delay: from the exposure to the estimate [s].
        period: between two estimates [s].
    """

    position: float = 0.00021
    rotation: float = 0.0056
    alone: float = 0.077
    alone_position: float = 0.009
    sight: tuple[float, float, float] = (0.0, 0.785, -0.62)
    dropouts: float = 0.025
    delay: float = 0.1
    period: float = 0.1

    def draw(self, random: np.random.Generator) -> Array | None:
        """One sighting's error (6,): position [m] and rotation vector [rad]; None for none."""
        if random.random() < self.dropouts:
            return None
        spread = np.repeat((self.position, self.rotation), 3)
        error = spread * random.standard_normal(6)
        if random.random() < self.alone:
            error[:3] += self.alone_position * random.standard_normal() * np.array(self.sight)
        return error

    def disturb(self, estimate: CubeEstimate, random: np.random.Generator) -> CubeEstimate | None:
        """A true pose as it would have been seen; None if it wouldn't have been."""
        error = self.draw(random)
        if error is None:
            return None
        pose = to_pose(moved(from_pose(estimate.pose), error))
        covariance = np.diag(np.repeat((self.position, self.rotation), 3) ** 2)
        return attrs.evolve(estimate, pose=pose, covariance=covariance)
