r"""Measures cameras: the lens with a board, and the place with a board or the marked box.

For the place an arm is moved. A camera on a hand looks at a target that lies still; a fixed camera
looks at a target that the hand holds. With the hand's pose H, or its inverse for a camera on it,
the unknown pose X of the camera and Z of the target, a point p of the target is seen at

.. math:: X^{-1} H Z p.

A first solution is linear (Shah, 2013); then X and Z are fitted to all corners at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from codi_core.errors import CodiError
from codi_franka.vision.camera_model import Lens
from codi_franka.vision.poses import inverse, log, matrix, moved
from codi_franka.vision.uncertainty import Leftover, left_open

Array = NDArray[np.float64]

FEWEST_FOR_LENS = 10
FEWEST_FOR_PLACE = 8
_FEWEST_CORNERS = 8
_TURNED = np.radians(15)
"""[rad] By which the hand must have turned, about two axes at least."""


@attrs.frozen(eq=False)
class Target:
    """What one picture shows of the target.

    Attributes:
        points: (n, 3) [m], in the target's frame.
        pixels: (n, 2), where they were seen.
    """

    points: Array
    pixels: Array


@attrs.frozen(eq=False)
class LensFit:
    """A lens with the root mean square of its residuals [pixels], and the pictures used."""

    lens: Lens
    error: float
    pictures: int


@attrs.frozen(eq=False)
class PlaceFit:
    """Where a camera is.

    Attributes:
        camera: (4, 4), to the mount's frame.
        target: (4, 4), of the target in the hand, or in the world for a camera on a hand.
        error: root mean square of the residuals [pixels].
        leftover: what that leaves open.
        pictures: that were used.
    """

    camera: Array
    target: Array
    error: float
    leftover: Leftover
    pictures: int


def fit_lens(targets: Sequence[Target], size: tuple[int, int]) -> LensFit:
    """The lens that explains pictures of a flat board best.

    Args:
        targets: one a picture; those with few corners are left out.
        size: of the pictures [pixels].

    Raises:
        CodiError: there are too few, or they don't reach into the corners.
    """
    usable = [target for target in targets if len(target.points) >= _FEWEST_CORNERS]
    if len(usable) < FEWEST_FOR_LENS:
        raise CodiError(
            f"the board was seen in {len(usable)} of {len(targets)} pictures; take at least "
            f"{FEWEST_FOR_LENS}, tilted in all directions, near and far, in all corners"
        )
    everywhere = np.concatenate([target.pixels for target in usable]) / size
    if (np.quantile(everywhere, 0.98, 0) - np.quantile(everywhere, 0.02, 0)).min() < 0.6:
        raise CodiError(
            "the board was seen in the middle only, which says nothing about the picture's edges: "
            "show it in all corners as well"
        )
    error, lens_matrix, distortion, _, _, spread, _, _ = cv2.calibrateCameraExtended(
        [target.points.astype(np.float32) for target in usable],
        [target.pixels.astype(np.float32).reshape(-1, 1, 2) for target in usable],
        size,
        np.eye(3),
        np.zeros(5),
    )
    bent, stds = (np.asarray(part, float).ravel() for part in (distortion, spread))
    # Both focal lengths are wrong alike, by the distance of the board.
    known = np.array((stds[:2].mean(), stds[2], stds[3]))
    lens = Lens(size, np.asarray(lens_matrix, float), bent[:5], known)
    return LensFit(lens, float(error), len(usable))


def fit_place(lens: Lens, hands: Sequence[Array], targets: Sequence[Target]) -> PlaceFit:
    """Where a camera is, and where the target.

    Args:
        lens: of the camera.
        hands: (4, 4) each, the H of this module's equation for each picture: the TCP's pose in
            the world for a fixed camera, its inverse for a camera on that hand.
        targets: what each picture shows.

    Raises:
        CodiError: there are too few pictures, or the hand hardly turned.
    """
    seen = [(hand, t) for hand, t in zip(hands, targets, strict=True) if len(t.points) >= 4]
    poses = [(hand, t, _pose(lens, t)) for hand, t in seen]
    usable = [(hand, t, pose) for hand, t, pose in poses if pose is not None]
    _check_enough(len(targets), [hand for hand, _, _ in usable])
    camera, target = _linear([hand for hand, _, _ in usable], [pose for _, _, pose in usable])
    return _refined(lens, [(hand, t) for hand, t, _ in usable], camera, target)


def _check_enough(taken: int, hands: Sequence[Array]) -> None:
    if len(hands) < FEWEST_FOR_PLACE:
        raise CodiError(
            f"the target was seen in {len(hands)} of {taken} pictures; take at least "
            f"{FEWEST_FOR_PLACE}, the hand turned differently in each"
        )
    turns = np.stack([log(hand[:3, :3] @ hands[0][:3, :3].T) for hand in hands[1:]])
    spread = np.linalg.svd(turns - turns.mean(0), compute_uv=False) / np.sqrt(len(turns))
    if spread[1] < _TURNED / 2:
        raise CodiError(
            "the hand hardly turned between the pictures, or about one axis only: the camera's "
            "place can't be told; turn the hand by 30 degrees and more about different axes"
        )


def _pose(lens: Lens, target: Target) -> Array | None:
    """The target in the camera's frame, (4, 4), from one picture."""
    good, turn, place = cv2.solvePnP(
        target.points, target.pixels, lens.matrix, lens.distortion, flags=cv2.SOLVEPNP_SQPNP
    )
    if not good:
        return None
    turn, place = cv2.solvePnPRefineLM(
        target.points, target.pixels, lens.matrix, lens.distortion, turn, place
    )
    pose = matrix(cv2.Rodrigues(turn)[0], np.asarray(place).ravel())
    return pose if np.isfinite(pose).all() and pose[2, 3] > 0 else None


def _linear(hands: Sequence[Array], seen: Sequence[Array]) -> tuple[Array, Array]:
    """X and Z with X A = H Z, for the target's poses A in the camera (Shah, 2013)."""
    products = sum(
        np.kron(hand[:3, :3], pose[:3, :3]) for hand, pose in zip(hands, seen, strict=True)
    )
    left, _, right = np.linalg.svd(np.asarray(products))
    turn_x, turn_z = _rotation(left[:, 0].reshape(3, 3)), _rotation(right[0].reshape(3, 3))
    # X A = H Z: R_X t_A + t_X = R_H t_Z + t_H.
    rows = [np.concatenate((np.eye(3), -hand[:3, :3]), 1) for hand in hands]
    values = [h[:3, 3] - turn_x @ a[:3, 3] for h, a in zip(hands, seen, strict=True)]
    places = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0]
    return matrix(turn_x, places[:3]), matrix(turn_z, places[3:])


def _rotation(estimate: Array) -> Array:
    """The rotation nearest to a matrix up to its scale and sign."""
    if np.linalg.det(estimate) < 0:
        estimate = -estimate
    left, _, right = np.linalg.svd(estimate)
    return np.asarray(left @ np.diag((1, 1, np.linalg.det(left @ right))) @ right)


def _refined(
    lens: Lens, seen: Sequence[tuple[Array, Target]], camera: Array, target: Array
) -> PlaceFit:
    rays = [lens.rays(t.pixels) for _, t in seen]

    def residuals(step: Array) -> Array:
        to_camera, where = inverse(moved(camera, step[:6])), moved(target, step[6:])
        parts = []
        for (hand, t), ray in zip(seen, rays, strict=True):
            pose = to_camera @ hand @ where
            points = t.points @ pose[:3, :3].T + pose[:3, 3]
            parts.append(points[:, :2] / np.maximum(points[:, 2:], 1e-3) - ray)
        return lens.focal * np.concatenate(parts).ravel()

    fit = least_squares(residuals, np.zeros(12), loss="huber", f_scale=1.0, x_scale="jac")
    left = residuals(fit.x)
    error = float(np.sqrt((left.reshape(-1, 2) ** 2).sum(-1).mean()))
    camera = moved(camera, fit.x[:6])
    leftover = left_open(lens, camera, fit.jac, left, np.concatenate(rays))
    return PlaceFit(camera, moved(target, fit.x[6:]), error, leftover, len(seen))
