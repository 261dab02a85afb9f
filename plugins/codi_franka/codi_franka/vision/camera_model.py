"""A calibrated camera: where it is, and how points come into its pictures.

A camera's frame is OpenCV's: x to the right, y down, z forwards. Pixel (0, 0) is the centre of the
upper left pixel.
"""

from __future__ import annotations

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.robot.cell import ARMS

Array = NDArray[np.float64]
WORLD = "world"
MOUNTS = (WORLD, *ARMS)
"""What a camera is fixed to: the world, or the hand of an arm."""


@attrs.frozen(eq=False)
class Lens:
    """The intrinsics.

    Attributes:
        size: width and height of its pictures [pixels].
        matrix: (3, 3), focal lengths and principal point [pixels].
        distortion: (5,), OpenCV's k1, k2, p1, p2, k3.
        spread: (3,), what a calibration leaves open about the mean focal length and the principal
            point [pixels].
    """

    size: tuple[int, int]
    matrix: Array
    distortion: Array = attrs.Factory(lambda: np.zeros(5))
    spread: Array = attrs.Factory(lambda: np.zeros(3))

    @property
    def focal(self) -> float:
        """The mean focal length [pixels]."""
        return float((self.matrix[0, 0] + self.matrix[1, 1]) / 2)

    def rays(self, pixels: Array) -> Array:
        """Where rays meet the plane z = 1: (..., 2) [pixels] to (..., 2), without distortion."""
        flat = np.asarray(pixels, float).reshape(-1, 1, 2)
        if not len(flat):
            return np.empty(np.shape(pixels))
        straight = cv2.undistortPoints(flat, self.matrix, self.distortion)
        return np.asarray(straight, float).reshape(np.shape(pixels))

    def project(self, points: Array) -> Array:
        """Points (..., 3) [m], in the camera's frame and in front of it, to pixels (..., 2)."""
        flat = np.asarray(points, float).reshape(-1, 1, 3)
        pixels, _ = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), self.matrix, self.distortion)
        return np.asarray(pixels, float).reshape(*np.shape(points)[:-1], 2)


@attrs.frozen(eq=False)
class CameraModel:
    """A camera with its place.

    Attributes:
        name: in files and messages.
        lens: the intrinsics.
        mount: ``world``, or the arm whose hand carries it.
        pose: (4, 4), from the camera's frame to the mount's: the world, or the arm's TCP.
        position_std: what the calibration leaves open about its place [m].
        rotation_std: and about its direction [rad].
        pixels_std: and about where it sees what is a metre away [pixels].
    """

    name: str
    lens: Lens
    mount: str
    pose: Array
    position_std: float = 0.0
    rotation_std: float = 0.0
    pixels_std: float = 0.0

    def in_world(self, hands: Array) -> Array:
        """(4, 4), from the camera's frame to the world.

        Args:
            hands: (N, 4, 4), the TCPs' poses in the world when the picture was taken.
        """
        return self.pose if self.mount == WORLD else hands[ARMS.index(self.mount)] @ self.pose
