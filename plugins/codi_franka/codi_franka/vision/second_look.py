"""Markers that a first look missed, searched for where the box must have them.

Detection reads no marker whose border is smeared or touches something. Once a pose is known from
other markers, it says where each corner is to a pixel or two; edges near there are found as usual,
and the pattern between them must be the right one.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.detection import Image, Sightings, dictionary
from codi_franka.vision.edges import sharpen
from codi_franka.vision.fit import Fit, View
from codi_franka.vision.markers import FACES, MODULES, MarkedBox
from codi_franka.vision.poses import inverse, matrix

Array = NDArray[np.float64]

LIKENESS = 0.85
"""Correlation of the squares' brightness with the pattern; of another marker it is 0.6 at most."""
_FLATTEST = np.cos(np.radians(70))
_MOVED = 2.5
"""[pixels] Edges further away from where they should be are something else."""
_SMALLEST = 9.0
"""[pixels] Of a marker's shortest edge; smaller ones tell nothing."""
_CELL = 8
_STRIDE, _FURTHEST = 0.002, 0.04
"""[m] Between two distances that are tried, and the furthest from the first."""
_HINT = 0.6
"""Likeness from which on a distance is worth a closer look."""


def look_again(box: MarkedBox, pose: Array, view: View, image: Image) -> View:
    """The view with markers added that are where ``pose`` (4, 4), in the world, has them.

    Args:
        box: with the markers.
        pose: of the box, from the markers that were seen.
        view: what was seen in the picture.
        image: the picture, grey or RGB.
    """
    rows, corners = _turned_to(box, pose, view)
    new = ~np.isin(rows, view.sightings.markers)
    rows, corners = rows[new], corners[new]
    if not len(rows):
        return view
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    found = sharpen(grey, corners)
    near = np.linalg.norm(found - corners, axis=-1).max(-1) < _MOVED
    changed = (found != corners).any((-1, -2))  # else the edges led nowhere
    alike = np.array([_likeness(grey, *pair) for pair in zip(found, rows, strict=True)])
    good = near & changed & (alike > LIKENESS)
    sightings = Sightings(
        np.concatenate((view.sightings.markers, rows[good])),
        np.concatenate((view.sightings.corners, found[good])),
    )
    return View(view.camera, view.world_from_camera, sightings)


def nearer_pose(box: MarkedBox, fit: Fit, views: Sequence[View], images: Sequence[Image]) -> Array:
    """The fitted pose, moved along its least certain direction to where all cameras agree.

    One camera alone knows the distance badly. Where another one has read no marker, the patterns
    that it must see tell it: a few distances are tried, and the likeliest is taken.

    Args:
        box: with the markers.
        fit: from the markers that were seen.
        views: of all cameras.
        images: their pictures, grey.
    """
    blind = [pair for pair in zip(views, images, strict=True) if not len(pair[0].sightings.markers)]
    if not blind or fit.cameras != 1:
        return fit.pose
    variances, axes = np.linalg.eigh(fit.covariance[:3, :3])
    reach = min(2.5 * float(np.sqrt(variances[-1])), _FURTHEST)
    steps = np.linspace(-reach, reach, 2 * max(round(reach / _STRIDE), 1) + 1)
    tried = [matrix(fit.pose[:3, :3], fit.pose[:3, 3] + step * axes[:, -1]) for step in steps]
    likeness = [max(_best_likeness(box, pose, *pair) for pair in blind) for pose in tried]
    return tried[int(np.argmax(likeness))] if max(likeness) > _HINT else fit.pose


def _best_likeness(box: MarkedBox, pose: Array, view: View, image: Image) -> float:
    rows, corners = _turned_to(box, pose, view)
    return max((_likeness(image, *pair) for pair in zip(corners, rows, strict=True)), default=0.0)


def _turned_to(box: MarkedBox, pose: Array, view: View) -> tuple[NDArray[np.intp], Array]:
    """The markers that the camera must see if nothing is in between, and their corners."""
    to_camera = inverse(view.world_from_camera) @ pose
    points = box.corners() @ to_camera[:3, :3].T + to_camera[:3, 3]
    middle = points.mean(1)
    outwards = box.normals() @ to_camera[:3, :3].T
    facing = -(outwards * middle).sum(-1) > _FLATTEST * np.linalg.norm(middle, axis=-1)
    rows = np.flatnonzero(facing & (points[..., 2] > 0.02).all(-1))
    if not len(rows):
        return rows, np.empty((0, 4, 2))
    corners = view.camera.lens.project(points[rows])
    inside = ((corners > 3) & (corners < np.array(view.camera.lens.size) - 4)).all((-1, -2))
    edges = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=-1)
    large = inside & (edges.min(-1) > _SMALLEST)
    return rows[large], corners[large]


def _likeness(grey: Image, square: Array, row: np.intp) -> float:
    """How well the squares' brightness agrees with a marker's pattern, -1 to 1."""
    side = MODULES * _CELL
    upright = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32) - 0.5
    flatten = cv2.getPerspectiveTransform(square.astype(np.float32), upright)
    flat = cv2.warpPerspective(grey, flatten, (side, side), flags=cv2.INTER_LINEAR)
    cells = flat.reshape(MODULES, _CELL, MODULES, _CELL)[:, 2:-2, :, 2:-2].mean((1, 3))
    pattern = cv2.aruco.generateImageMarker(dictionary(), FACES[row].marker, MODULES)
    if cells.std() < 4:
        return 0.0
    return float(np.corrcoef(cells.ravel(), pattern.ravel())[0, 1])
