"""Boxes with a marker on each face: which marker is where.

The markers are of OpenCV's dictionary ``DICT_4X4_50``. The table :data:`FACES` is the only place
that says which marker belongs on which face, and which way up; the printed sheet, the tracker and
the rendered pictures all follow it.
"""

from __future__ import annotations

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.robot.cell import CUBE_SIZE

Array = NDArray[np.float64]
Vector = tuple[int, int, int]

DICTIONARY = "DICT_4X4_50"
MODULES = 6
"""Squares along a marker's edge, its black border included."""


@attrs.frozen
class Face:
    """A face of the box.

    Attributes:
        marker: the number of its marker.
        name: how the sheet calls it.
        normal: out of the box, in the box's frame.
        up: the direction of the marker's upper edge.
    """

    marker: int
    name: str
    normal: Vector
    up: Vector


FACES = (
    Face(0, "+x", (1, 0, 0), (0, 0, 1)),
    Face(1, "-x", (-1, 0, 0), (0, 0, 1)),
    Face(2, "+y", (0, 1, 0), (0, 0, 1)),
    Face(3, "-y", (0, -1, 0), (0, 0, 1)),
    Face(4, "+z", (0, 0, 1), (0, 1, 0)),
    Face(5, "-z", (0, 0, -1), (0, 1, 0)),
)
MARKERS = tuple(face.marker for face in FACES)


def _positive(instance: object, attribute: object, value: tuple[float, ...]) -> None:
    if not all(0 < edge < 1 for edge in value):
        raise ValueError(f"a box's edges are between 0 and 1 m, not {value}")


@attrs.frozen
class MarkedBox:
    """A box with six markers, each in the middle of its face.

    Attributes:
        size: along x, y and z [m].
        marker_size: the edge of the markers' black square [m].
    """

    size: tuple[float, float, float] = attrs.field(
        default=(CUBE_SIZE, CUBE_SIZE, CUBE_SIZE), validator=_positive
    )
    marker_size: float = 0.04

    def __attrs_post_init__(self) -> None:
        widest = min(self.size) * MODULES / (MODULES + 1)
        if not 0 < self.marker_size <= widest:
            raise ValueError(
                f"markers of {1000 * self.marker_size:g} mm do not fit on a box of "
                f"{' x '.join(f'{1000 * edge:g}' for edge in self.size)} mm: with the white edge "
                f"that they need they are at most {1000 * widest:.1f} mm"
            )

    @classmethod
    def fitting(cls, size: tuple[float, float, float]) -> MarkedBox:
        """A box of that size with markers of 40 mm, or of as many whole ones as fit."""
        widest = min(size) * MODULES / (MODULES + 1)
        return cls(size, min(0.04, math.floor(1000 * widest + 1e-6) / 1000))

    def face_size(self, face: Face) -> tuple[float, float]:
        """Width and height of a face, seen with its marker upright [m]."""
        size = np.array(self.size)
        return float(abs(_right(face)) @ size), float(abs(np.array(face.up)) @ size)

    def face_corners(self, face: Face) -> Array:
        """The face's corners (4, 3) [m], box frame, in the order of a marker's corners."""
        return self._square(face, *self.face_size(face))

    def corners(self) -> Array:
        """The markers' corners (6, 4, 3) [m], box frame, in the order of :data:`FACES`.

        A marker's corners are its upper left, upper right, lower right and lower left, seen from
        outside: the order in which OpenCV reports them.
        """
        return np.stack([self._square(face, self.marker_size, self.marker_size) for face in FACES])

    @staticmethod
    def normals() -> Array:
        """Out of the faces, (6, 3), box frame."""
        return np.array([face.normal for face in FACES], float)

    def _square(self, face: Face, width: float, height: float) -> Array:
        centre = np.array(face.normal) * np.array(self.size) / 2
        right, up = _right(face) * width / 2, np.array(face.up) * height / 2
        return np.stack(
            (centre - right + up, centre + right + up, centre + right - up, centre - right - up)
        )


def _right(face: Face) -> Array:
    return np.cross(face.up, face.normal).astype(float)


CUBE = MarkedBox()
"""The cube of the task, with markers of 40 mm."""
