r"""What a calibration leaves open: about a camera's place, and about where it sees points.

With residuals of the form :math:`J_x \Delta x + J_l \delta`, a step :math:`\Delta x` of the places
and an error :math:`\delta` of the lens, which least squares take for exact, places are wrong by

.. math:: \Delta x = n - A J_l \delta, \quad A = (J_x^\top J_x)^{-1} J_x^\top,

with n from the corners' noise. Much of that is made up for by the lens itself: a point elsewhere is
seen :math:`J_x' \Delta x + J_l' \delta` from where it belongs, which is less than either part.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.camera_model import Lens
from codi_franka.vision.poses import inverse, moved

Array = NDArray[np.float64]

_ACROSS = np.meshgrid(np.linspace(-0.6, 0.6, 7), np.linspace(-0.35, 0.35, 5))
AHEAD = np.stack((*_ACROSS, np.ones((5, 7))), -1).reshape(-1, 3)
"""(35, 3) Points all over a picture, a metre before the camera [m]."""
_STEP = 1e-6
"""[m], [rad] Of finite differences."""


@attrs.frozen
class Leftover:
    """Standard deviations.

    Attributes:
        position: of the camera's place [m].
        rotation: of its direction [rad].
        pixels: between where a point a metre away is seen and where it belongs [pixels].
    """

    position: float
    rotation: float
    pixels: float


def left_open(lens: Lens, camera: Array, slopes: Array, residuals: Array, rays: Array) -> Leftover:
    """What a fit of a camera's place leaves open.

    Args:
        lens: that was taken for exact, with its spread.
        camera: (4, 4), what was found.
        slopes: (2n, m) of the residuals by the unknowns; the camera's step (6,) comes first.
        residuals: (2n,) [pixels].
        rays: (n, 2) on the plane z = 1, of what was seen.
    """
    inverted = np.linalg.inv(slopes.T @ slopes)
    noise = residuals @ residuals / max(len(residuals) - len(inverted), 1)
    by_lens = -(inverted @ slopes.T @ _lens_slopes(rays))[:6]
    variance = np.diag(lens.spread**2)
    places = noise * inverted[:6, :6]
    spread = places + by_lens @ variance @ by_lens.T
    ahead = _camera_slopes(lens, camera)
    seen = _lens_slopes(AHEAD[:, :2]) + ahead @ by_lens
    aim = np.trace(ahead @ places @ ahead.T + seen @ variance @ seen.T) / len(AHEAD)
    return Leftover(
        float(np.sqrt(np.trace(spread[:3, :3]))),
        float(np.sqrt(np.trace(spread[3:, 3:]))),
        float(np.sqrt(aim)),
    )


def _lens_slopes(rays: Array) -> Array:
    """How rays (n, 2) are seen elsewhere by the lens's focal length and middle, (2n, 3)."""
    middle = np.tile(np.eye(2), (len(rays), 1))
    return np.concatenate((rays.reshape(-1, 1), middle), -1)


def _camera_slopes(lens: Lens, camera: Array) -> Array:
    """How the points :data:`AHEAD` are seen elsewhere by a step of the camera, (2n, 6) [pixels]."""
    there = AHEAD @ camera[:3, :3].T + camera[:3, 3]

    def seen(step: Array) -> Array:
        back = inverse(moved(camera, step))
        points = there @ back[:3, :3].T + back[:3, 3]
        return lens.focal * (points[:, :2] / points[:, 2:]).ravel()

    steps = _STEP * np.eye(6)
    return np.stack([(seen(step) - seen(-step)) / (2 * _STEP) for step in steps], -1)
