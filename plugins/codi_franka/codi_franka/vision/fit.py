"""The box's pose from the markers that all cameras see, if it is beyond doubt."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.detection import Sightings
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.poses import difference, inverse, matrix
from codi_franka.vision.reprojection import Corners, covariance, refine

Array = NDArray[np.float64]

OUTLIER = 2.5
"""[pixels] Error of a marker beyond which the others are believed."""
ACCEPTED = 1.5
"""[pixels] Largest error of all markers together; blurred ones reach 0.8."""
LIKELIER = 16.0
"""A pose must be that much better than the next one, in squares of standard deviations."""
_SAME_TURN, _SAME_PLACE = 0.15, 0.02
"""[rad], [m] Within which two starts have led to one pose."""
_STEEPEST = np.cos(np.radians(82))
"""Markers that are seen at a flatter angle than that can't have been read."""
_UNSURE = 0.003
"""[m] Spread of a place from which on a single marker needs to be confirmed by what is known."""
_TRIED = 4
"""Starts that are refined: the likeliest ones."""


class Refusal(Enum):
    """Why there is no pose."""

    NOTHING = "no marker was seen"
    AMBIGUOUS = "one marker, far away: two poses look the same"
    DISAGREE = "the markers contradict one another"
    OUTSIDE = "the pose is nowhere near the table"


@attrs.frozen(eq=False)
class View:
    """What one camera saw.

    Attributes:
        camera: the model.
        world_from_camera: (4, 4), when the picture was taken.
        sightings: the markers.
    """

    camera: CameraModel
    world_from_camera: Array
    sightings: Sightings


@attrs.frozen(eq=False)
class Fit:
    """A pose that explains the markers.

    Attributes:
        pose: (4, 4), of the box in the world.
        covariance: (6, 6) of position [m] and rotation vector [rad], world frame.
        error: root mean square of the residuals [pixels].
        markers: how many markers it rests on; one that two cameras see counts twice.
        cameras: how many cameras.
    """

    pose: Array
    covariance: Array
    error: float
    markers: int
    cameras: int

    @property
    def weak(self) -> bool:
        """Whether one small marker says all of it.

        Nothing tells then whether one of its edges is in truth a finger's, which makes the marker
        smaller than it is, and the box further away.
        """
        return self.markers == 1 and bool(
            np.linalg.eigvalsh(self.covariance[:3, :3])[-1] > _UNSURE**2
        )


def fit_box(box: MarkedBox, views: Sequence[View], expected: Array | None = None) -> Fit | Refusal:
    """Fit one pose to all markers in all views.

    Args:
        box: with the markers.
        views: of one moment, one a camera.
        expected: (4, 4), where the box should be; decides where two poses look the same.
    """
    corners = gather(box, views)
    if not len(corners):
        return Refusal.NOTHING
    found = _likeliest(corners, views, expected)
    if isinstance(found, Refusal):
        return found
    kept = corners.errors(found) < OUTLIER
    if not kept.all():
        corners = corners.of(kept)
        found = refine(corners, found)
    error = float(np.sqrt((corners.errors(found) ** 2).mean()))
    if error > ACCEPTED or not _facing(corners, found).all():
        return Refusal.DISAGREE
    spread = covariance(corners, found) + _calibration(corners, views, found)
    return Fit(found, spread, error, len(corners), len(np.unique(corners.camera)))


def rivals(box: MarkedBox, views: Sequence[View]) -> list[Array]:
    """The poses (4, 4) that explain the markers about equally well; none where they contradict."""
    corners = gather(box, views)
    found = _rivals(corners, views) if len(corners) else []
    return [] if isinstance(found, Refusal) else found


def gather(box: MarkedBox, views: Sequence[View]) -> Corners:
    """All markers of all views."""
    models = box.corners()
    parts: list[tuple[Any, ...]] = []
    for number, view in enumerate(views):
        rows = view.sightings.markers
        camera = inverse(view.world_from_camera)
        count = len(rows)
        parts.append(
            (
                models[rows],
                view.camera.lens.rays(view.sightings.corners),
                np.broadcast_to(camera[:3, :3], (count, 3, 3)),
                np.broadcast_to(camera[:3, 3], (count, 3)),
                np.full(count, view.camera.lens.focal),
                np.full(count, number, np.intp),
                rows,
            )
        )
    empty = [part for part in parts if len(part[0])]
    if not empty:
        sizes: tuple[tuple[int, ...], ...] = ((4, 3), (4, 2), (3, 3), (3,), ())
        blank: list[Any] = [np.empty((0, *size)) for size in sizes]
        return Corners(*[*blank, np.empty(0, np.intp), np.empty(0, np.intp)])
    return Corners(*(np.concatenate(column) for column in zip(*empty, strict=True)))


def _likeliest(corners: Corners, views: Sequence[View], expected: Array | None) -> Array | Refusal:
    found = _rivals(corners, views)
    if isinstance(found, Refusal) or len(found) == 1:
        return found if isinstance(found, Refusal) else found[0]
    return Refusal.AMBIGUOUS if expected is None else _as_expected(found, expected)


def _rivals(corners: Corners, views: Sequence[View]) -> list[Array] | Refusal:
    starts = _starts(corners, views)
    if not len(starts):
        return Refusal.DISAGREE
    order = np.argsort(corners.cost(starts))[:_TRIED]
    minima: list[tuple[float, Array]] = []
    for start in starts[order]:
        pose = refine(corners, start)
        if all(_different(pose, other) for _, other in minima):
            minima.append((float(corners.cost(pose)), pose))
    minima.sort(key=lambda entry: entry[0])
    kept = corners.errors(minima[0][1]) < OUTLIER
    if not kept.all() and (2 * kept.sum() <= len(corners) or _camera_left_out(corners, kept)):
        return Refusal.DISAGREE
    return [pose for cost, pose in minima if cost - minima[0][0] < LIKELIER]


def _as_expected(poses: list[Array], expected: Array) -> Array | Refusal:
    """The only one of several poses that is near the expected one."""
    turns = [float(np.linalg.norm(difference(pose, expected)[3:])) for pose in poses]
    nearest, next_one = np.argsort(turns)[:2]
    if turns[nearest] < 0.3 and turns[next_one] > turns[nearest] + 0.3:
        return poses[nearest]
    return Refusal.AMBIGUOUS


def _camera_left_out(corners: Corners, kept: NDArray[np.bool_]) -> bool:
    """Whether several markers of one camera agree with none of the rest: the camera was moved."""
    return any(
        (corners.camera == number).sum() > 1 and not kept[corners.camera == number].any()
        for number in np.unique(corners.camera)
    )


def _starts(corners: Corners, views: Sequence[View]) -> Array:
    """Poses of the box (m, 4, 4) that explain one marker each: two for every marker."""
    found = []
    for row in range(len(corners)):
        edge = float(np.linalg.norm(corners.model[row, 0] - corners.model[row, 1]))
        half = edge / 2
        flat = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
        count, turns, places, _ = cv2.solvePnPGeneric(
            flat, corners.seen[row], np.eye(3), None, flags=cv2.SOLVEPNP_IPPE_SQUARE
        )
        world = views[corners.camera[row]].world_from_camera
        marker = inverse(_marker_frame(corners.model[row]))
        for turn, place in list(zip(turns, places, strict=True))[:count]:
            pose = matrix(cv2.Rodrigues(turn)[0], place.ravel())
            if np.isfinite(pose).all():
                found.append(world @ pose @ marker)
    return np.array(found).reshape(-1, 4, 4)


def _marker_frame(square: Array) -> Array:
    """(4, 4), from a marker's frame, x to its right and y to its upper edge, to the box's."""
    x, y = square[1] - square[0], square[0] - square[3]
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return matrix(np.stack((x, y, np.cross(x, y)), 1), square.mean(0))


def _different(pose: Array, other: Array) -> bool:
    step = difference(pose, other)
    return bool(np.linalg.norm(step[3:]) > _SAME_TURN or np.linalg.norm(step[:3]) > _SAME_PLACE)


def _facing(corners: Corners, pose: Array) -> NDArray[np.bool_]:
    """Which markers are in front of their camera and turned to it, (n,)."""
    points = corners.points(pose)
    right, down = points[:, 1] - points[:, 0], points[:, 3] - points[:, 0]
    inwards = np.cross(right, down)  # y points down in pictures: away from the camera
    middle = points.mean(1)
    scale = np.linalg.norm(inwards, axis=-1) * np.linalg.norm(middle, axis=-1)
    return (points[..., 2] > 0).all(-1) & ((inwards * middle).sum(-1) > _STEEPEST * scale)


def _calibration(corners: Corners, views: Sequence[View], pose: Array) -> Array:
    """What the cameras' own places leave open about the box's, (6, 6): an average over them."""
    total = np.zeros((6, 6))
    seeing = np.unique(corners.camera)
    for number in seeing:
        view = views[number]
        away = float(np.linalg.norm(pose[:3, 3] - view.world_from_camera[:3, 3]))
        # Of what the calibration leaves open, most moves the box in no picture.
        turn = view.camera.rotation_std**2
        place = (view.camera.pixels_std / view.camera.lens.focal * away) ** 2
        total += np.diag([place] * 3 + [turn] * 3)
    return total / len(seeing) ** 2
