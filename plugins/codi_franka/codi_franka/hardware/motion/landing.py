"""Hands come down slowly where their fingers would meet what they are about to grasp.

Policies aim a grasp at a cube to some millimetres, and at times to centimetres. A stiff arm that
comes down on an edge at full speed presses with more than 100 N before it has given way. So the
speed downwards is limited, the more the nearer the fingertips are to the face below them: as a
control barrier function does, but for an end that may be reached. A grasp that is aimed well has
room for both fingers, and is not slowed down.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.robot.box import Box

Array = NDArray[np.float64]

_TIP = 0.012
"""[m] The fingertips are so far below the tool centre point."""
_THICKNESS, _BREADTH = 0.015, 0.022
"""[m] A finger's foot, along the closing axis and across it."""
_MARGIN = 0.004
"""[m] By which a finger must miss the object."""
_BESIDE = 0.006
"""[m] Fingertips that far below the face are beside the object."""

_ALONG, _ACROSS = np.meshgrid((0.0, 0.5, 1.0), (-0.5, 0.0, 0.5))
_FEET = np.stack((_THICKNESS * _ALONG.ravel(), _BREADTH * _ACROSS.ravel()), -1)
"""(9, 2): points of a foot, from the pad's inner face outwards, and across [m]."""


@attrs.frozen(eq=False)
class Landing:
    """How fast hands may come down on a box."""

    box: Box
    slowest: float = 0.05
    """[m/s] At the face; a touch by which nothing is hurt."""
    gain: float = 3.0
    """[1/s] By which it may be faster for each metre above the face."""

    def speeds(
        self, tips: Array, rotations: Array, widths: Array, place: Array, turned: Array
    ) -> Array:
        """The highest downward speed of each hand (2,) [m/s], infinite where nothing is below.

        Args:
            tips: tool centre points (2, 3) [m], world frame.
            rotations: of the hands (2, 3, 3), world frame; y is the fingers' closing axis.
            widths: between the fingers (2,) [m].
            place: the box's centre (3,) [m], world frame.
            turned: its rotation (3, 3), world frame.
        """
        upwards = int(np.abs(turned[2]).argmax())
        flat = [axis for axis in range(3) if axis != upwards]
        half = np.array(self.box.size) / 2
        gaps = tips[:, 2] - _TIP - (place[2] + half[upwards])
        feet = self._feet(tips, rotations, widths)
        # How far each point is from the centre along the face's edges, (2, 18, 2).
        offsets = (feet - place[:2]) @ _unit(turned[:2, flat])
        below = (np.abs(offsets) < half[flat] + _MARGIN).all(-1).any(-1)
        limits = self.slowest + self.gain * np.maximum(gaps, 0.0)
        speeds: Array = np.where(below & (gaps > -_BESIDE), limits, np.inf)
        return speeds

    def _feet(self, tips: Array, rotations: Array, widths: Array) -> Array:
        """Points of both fingers' feet, seen from above, (2, 18, 2) [m]."""
        closing = _unit(rotations[:, :2, 1].T).T  # (2, 2)
        across = np.stack((-closing[:, 1], closing[:, 0]), -1)
        outwards = widths[:, None] / 2 + _FEET[:, 0]  # (2, 9)
        both = np.concatenate((outwards, -outwards), 1)[..., None] * closing[:, None]
        sideways = np.tile(_FEET[:, 1], 2)[None, :, None] * across[:, None]
        points: Array = tips[:, None, :2] + both + sideways
        return points


def _unit(columns: Array) -> Array:
    """Columns of length one."""
    lengths: Array = columns / np.maximum(np.linalg.norm(columns, axis=0), 1e-9)
    return lengths
