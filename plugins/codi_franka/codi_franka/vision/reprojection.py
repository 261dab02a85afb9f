"""Least squares on all corners at once: how well a pose explains them, and the pose that does best.

Residuals are in pixels: differences on the plane z = 1 of each camera, times its focal length.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.poses import moved, skew

Array = NDArray[np.float64]

PIXEL_STD = 0.25
"""[pixels] Of a corner that is found well. Nothing is believed to be known better."""
_SOFT = 1.0
"""[pixels] From here on a marker's residual counts less (Cauchy)."""
_ITERATIONS = 12
_BEHIND = 1e-3
"""[m] Points nearer to a camera than that, or behind it, are put there: their residual is large."""


@attrs.frozen(eq=False)
class Corners:
    """What n markers' corners are and where they were seen.

    Attributes:
        model: (n, 4, 3) [m], in the box's frame.
        seen: (n, 4, 2), on the plane z = 1 of the marker's camera.
        rotation: (n, 3, 3), from the world to the marker's camera.
        position: (n, 3), of the world's origin in the marker's camera [m].
        focal: (n,) [pixels].
        camera: (n,) which camera it is.
        marker: (n,) the row of :data:`codi_franka.vision.markers.FACES`.
    """

    model: Array
    seen: Array
    rotation: Array
    position: Array
    focal: Array
    camera: NDArray[np.intp]
    marker: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.model)

    def of(self, rows: NDArray[np.bool_]) -> Corners:
        """Some of the markers."""
        return Corners(*(getattr(self, field.name)[rows] for field in attrs.fields(Corners)))

    def points(self, pose: Array) -> Array:
        """The corners in their cameras' frames, (..., n, 4, 3), for poses (..., 4, 4)."""
        world = np.einsum("...ij,nkj->...nki", pose[..., :3, :3], self.model)
        world = world + pose[..., None, None, :3, 3]
        return np.einsum("nij,...nkj->...nki", self.rotation, world) + self.position[:, None]

    def residuals(self, pose: Array) -> Array:
        """(..., n, 4, 2) [pixels] for poses (..., 4, 4)."""
        points = self.points(pose)
        depth = np.maximum(points[..., 2:], _BEHIND)
        return (points[..., :2] / depth - self.seen) * self.focal[:, None, None]

    def errors(self, pose: Array) -> Array:
        """The markers' root mean square residuals, (..., n) [pixels]."""
        return np.sqrt((self.residuals(pose) ** 2).sum(-1).mean(-1))

    def cost(self, pose: Array) -> Array:
        """What is minimised, (...): squares of the errors, softened, over the corners' variance."""
        soft = _SOFT**2 * np.log1p((self.errors(pose) / _SOFT) ** 2)
        return 4 * soft.sum(-1) / PIXEL_STD**2


def refine(corners: Corners, pose: Array) -> Array:
    """The pose (4, 4) with the least cost near ``pose``, by Gauss-Newton with damping."""
    cost, damping = corners.cost(pose), 1e-6
    for _ in range(_ITERATIONS):
        gradient, hessian = _normal_equations(corners, pose)
        scale = damping * np.diag(np.diag(hessian))
        step = -np.linalg.solve(hessian + scale + 1e-9 * np.eye(6), gradient)
        tried = moved(pose, step)
        reached = corners.cost(tried)
        if reached <= cost:
            pose, damping = tried, damping / 10
            if cost - reached < 1e-6 * (1 + cost):
                break
            cost = reached
        else:
            damping = max(100 * damping, 1e-4)
    return pose


def covariance(corners: Corners, pose: Array) -> Array:
    """(6, 6) of a refined pose: the inverse of the information in the corners.

    Their spread is taken from the residuals where these are larger than expected.
    """
    _, hessian = _normal_equations(corners, pose)
    spread = max(float(np.sqrt((corners.errors(pose) ** 2).mean() / 2)), PIXEL_STD)
    return np.asarray(spread**2 * np.linalg.inv(hessian + 1e-9 * np.eye(6)), np.float64)


def _normal_equations(corners: Corners, pose: Array) -> tuple[Array, Array]:
    """Gradient (6,) and Hessian (6, 6) of half the weighted squares, by :func:`poses.moved`."""
    points = corners.points(pose)
    depth = np.maximum(points[..., 2], _BEHIND)
    lever = np.einsum("ij,nkj->nki", pose[:3, :3], corners.model)
    turning = -corners.rotation[:, None] @ skew(lever)
    moving = np.broadcast_to(corners.rotation[:, None], turning.shape)
    by_step = np.concatenate((moving, turning), -1)  # (n, 4, 3, 6)
    image = points[..., :2, None] / depth[..., None, None]
    slope = (by_step[..., :2, :] - image * by_step[..., 2:, :]) / depth[..., None, None]
    slope = slope * corners.focal[:, None, None, None]
    residual = corners.residuals(pose)
    errors = np.sqrt((residual**2).sum(-1).mean(-1))
    weight = 1 / (1 + (errors / _SOFT) ** 2)
    rows, values = slope.reshape(-1, 6), residual.reshape(-1)
    heavy = rows * np.repeat(weight, 8)[:, None]
    return heavy.T @ values, heavy.T @ rows
