"""A camera that sees a drawn cube, and breaks when it is told to."""

from __future__ import annotations

import numpy as np

from codi_franka.hardware.clock import ArmClock
from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.cameras import CameraError, Frame
from codi_franka.vision.measuring.drawn import picture_of
from codi_franka.vision.poses import exp, matrix

PLACES = ((-0.2, 0.1, 0.025), (0.1, 0.1, 0.025))
"""[m] Where the cube lies, and where it is seen all at once afterwards."""
PERIOD = 0.1
"""[s] Between two pictures: slower than cameras, as the arms may be slower than real ones."""
_NOISE = 3.0
"""Standard deviation, of 255."""


class DrawnCamera:
    """Pictures of a cube on the table, with new noise in each.

    Args:
        model: of the camera.
        clock: the arms' seconds.

    Attributes:
        name: of the camera.
        clock: may be replaced.
        frozen: whether it delivers the same picture over and over.
        lost: whether it delivers none.
        place: which of :data:`PLACES` the cube is at.
    """

    def __init__(self, model: CameraModel, clock: ArmClock) -> None:
        self.name, self.clock = model.name, clock
        self.frozen = self.lost = False
        self.place = 0
        self._random = np.random.default_rng(0)
        level = matrix(exp(np.zeros(3)), np.zeros(3))
        self._clean = []
        for place in PLACES:
            pose = level.copy()
            pose[:3, 3] = place
            self._clean.append(picture_of(pose, model).astype(np.int16))
        self._grain = self._random.normal(0.0, _NOISE, self._clean[0].shape).astype(np.int16)
        self._latest = self._picture()

    def read(self) -> Frame:
        """The next picture.

        Raises:
            CameraError: it is lost.
        """
        self.clock.sleep(PERIOD)
        if self.lost:
            raise CameraError(f"camera '{self.name}' delivers no picture: check its cable")
        moment = self.clock.seconds()
        if not self.frozen:
            self._latest = self._picture()
        return Frame(moment, self._latest, self.name)

    def close(self) -> None:
        """Nothing is open."""

    def _picture(self) -> np.ndarray:
        shift = self._random.integers(self._grain.size)
        grain = np.roll(self._grain.reshape(-1), shift).reshape(self._grain.shape)
        noisy = np.clip(self._clean[self.place] + grain, 0, 255)
        return noisy.astype(np.uint8)
