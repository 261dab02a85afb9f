"""Finds the box's markers in a picture."""

from __future__ import annotations

from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.edges import sharpen
from codi_franka.vision.markers import DICTIONARY, MARKERS

Array = NDArray[np.float64]
Image = NDArray[Any]


@attrs.frozen(eq=False)
class Sightings:
    """The markers in one picture.

    Attributes:
        markers: (n,) their numbers.
        corners: (n, 4, 2) [pixels], upper left, upper right, lower right, lower left.
    """

    markers: NDArray[np.intp]
    corners: Array


class MarkerDetector:
    """Finds markers with corners to a fraction of a pixel; not for several threads at once."""

    def __init__(self) -> None:
        self._detector = cv2.aruco.ArucoDetector(dictionary(), _parameters())

    def find(self, image: Image) -> Sightings:
        """The box's markers in a picture (height, width, 3), RGB, or (height, width), grey.

        A marker that is seen twice is not the box's: both are left out.
        """
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        corners, numbers, _ = self._detector.detectMarkers(grey)
        if numbers is None or not len(numbers):  # type: ignore[redundant-expr]
            return Sightings(np.empty(0, np.intp), np.empty((0, 4, 2)))
        flat = np.asarray(numbers, np.intp).ravel()
        ours = np.isin(flat, MARKERS) & (np.bincount(flat)[flat] == 1)
        found = np.stack([np.asarray(square, float).reshape(4, 2) for square in corners])
        return Sightings(flat[ours], sharpen(grey, found[ours]))


def dictionary() -> Any:
    """OpenCV's dictionary of the markers."""
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, DICTIONARY))


def _parameters() -> Any:
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_CONTOUR  # for `sharpen`
    # Bits are read from the middle half of their squares: small markers are blurred.
    parameters.perspectiveRemovePixelPerCell = 8
    parameters.perspectiveRemoveIgnoredMarginPerCell = 0.25
    # A pattern that is nearly one of ours is somebody else's: no bit may be wrong.
    parameters.errorCorrectionRate = 0.0
    return parameters
