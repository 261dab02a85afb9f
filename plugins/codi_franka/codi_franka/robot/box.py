"""What is handed over: the cube, or a box of another shape."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from torch import Tensor

from codi_franka.geometry import constant, quaternion_to_matrix
from codi_franka.robot.cell import CUBE_MASS, CUBE_SIZE
from codi_franka.robot.parameters import MAX_WIDTH

AROUND = 0.005
"""[m] By which a hand must open wider than what it takes."""
LARGEST = 0.3
"""[m]"""


def _sizes(_: object, __: object, size: tuple[float, float, float]) -> None:
    edges = " x ".join(f"{1000 * edge:g}" for edge in size)
    if not all(0 < edge <= LARGEST for edge in size):
        raise ValueError(f"a box's edges are above 0 and up to {1000 * LARGEST:g} mm, not {edges}")
    if min(size[:2]) > MAX_WIDTH - AROUND:
        raise ValueError(
            f"no hand can take a box of {edges} mm: it comes from above, opens "
            f"{1000 * MAX_WIDTH:g} mm, and needs {1000 * AROUND:g} mm to get around, so that L or "
            f"W must be at most {1000 * (MAX_WIDTH - AROUND):g} mm"
        )


@attrs.frozen
class Box:
    """A box, as dense as the cube.

    Attributes:
        size: along its own x, y and z, which points upwards where it is put down [m].
    """

    size: tuple[float, float, float] = attrs.field(
        default=(CUBE_SIZE, CUBE_SIZE, CUBE_SIZE), validator=_sizes
    )

    @classmethod
    def of_millimetres(cls, edges: Sequence[float]) -> Box:
        """A box with these three edges [mm].

        Raises:
            ValueError: they are not three, or no hand can take it.
        """
        length, width, height = (edge / 1000 for edge in edges)
        return cls((length, width, height))

    @property
    def mass(self) -> float:
        """What it weighs [kg]."""
        return CUBE_MASS * self.size[0] * self.size[1] * self.size[2] / CUBE_SIZE**3

    @property
    def standing(self) -> float:
        """How high its centre is where it is put down [m]."""
        return self.size[2] / 2

    @property
    def grip(self) -> float:
        """The widest of its edges that a hand takes [m]."""
        return max(edge for edge in self.size if edge <= MAX_WIDTH - AROUND)

    @property
    def released(self) -> float:
        """Fingers that far apart hold nothing [m]."""
        return (self.grip + MAX_WIDTH) / 2

    def holding(self, above: float = 1.2) -> tuple[float, float]:
        """Between which widths fingers may hold it [m].

        Args:
            above: the upper limit as a share of the widest edge; never as wide as where it is let
                go of.
        """
        return 0.6 * min(self.size), min(above * self.grip, self.released)

    def lying(self, quaternion: Tensor) -> Tensor:
        """How high its centre is on the table on the face that is nearest to it: (...,) [m].

        Args:
            quaternion: how it is turned, (..., 4) wxyz.
        """
        half = constant(self.size, quaternion) / 2
        upwards = quaternion_to_matrix(quaternion)[..., 2, :].abs().argmax(-1)
        return half[upwards]


CUBE = Box()
"""The cube of the task."""
