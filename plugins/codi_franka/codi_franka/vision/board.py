"""The calibration board: a chessboard with a marker in each white square (ChArUco)."""

from __future__ import annotations

from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.detection import Image, dictionary

Array = NDArray[np.float64]

_FIRST = 10
"""The number of the board's first marker: none of them is the box's."""


@attrs.frozen
class Board:
    """A board.

    Attributes:
        columns: squares along x.
        rows: squares along y.
        square: their edge [m].
    """

    columns: int = 6
    rows: int = 8
    square: float = 0.03

    @property
    def marker(self) -> float:
        """Edge of the markers in the squares [m]."""
        return 2 * self.square / 3

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height [m]."""
        return self.columns * self.square, self.rows * self.square

    def corners(self) -> Array:
        """The inner corners (n, 3) [m], board frame, by their numbers."""
        return np.asarray(self._pattern().getChessboardCorners(), float)

    def find(self, image: Image) -> tuple[NDArray[np.intp], Array]:
        """The corners in a picture: their numbers (n,) and places (n, 2) [pixels]."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        places, numbers, _, _ = cv2.aruco.CharucoDetector(self._pattern()).detectBoard(grey)
        if numbers is None or not len(numbers):  # type: ignore[redundant-expr]
            return np.empty(0, np.intp), np.empty((0, 2))
        return np.asarray(numbers, np.intp).ravel(), np.asarray(places, float).reshape(-1, 2)

    def cells(self, each: int = 18) -> Image:
        """The board as black and white cells (rows · each, columns · each), x to the right."""
        size = (self.columns * each, self.rows * each)
        return np.asarray(self._pattern().generateImage(size, marginSize=0, borderBits=1), np.uint8)

    def _pattern(self) -> Any:
        count = self.columns * self.rows // 2
        return cv2.aruco.CharucoBoard(
            (self.columns, self.rows),
            self.square,
            self.marker,
            dictionary(),
            np.arange(_FIRST, _FIRST + count),
        )
