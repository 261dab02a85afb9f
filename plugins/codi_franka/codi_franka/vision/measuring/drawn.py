"""Two cameras at the table, and pictures of a marked box alone, drawn without a renderer."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from codi_franka.vision.camera_model import CameraModel, Lens
from codi_franka.vision.markers import CUBE, FACES, MarkedBox
from codi_franka.vision.measuring.marked_scene import face_picture
from codi_franka.vision.poses import inverse, matrix

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

LENS = Lens(
    (1280, 720),
    np.array([[900.0, 0, 639.5], [0, 900.0, 359.5], [0, 0, 1]]),
    np.array([-0.1, 0.02, 0.001, -0.001, 0.0]),
)
_GREY = 120
"""Of what surrounds the box."""


def looking(position: ArrayLike, target: ArrayLike) -> Array:
    """The pose (4, 4) of a camera at a place that looks at another one, world frame [m]."""
    z = np.subtract(target, position, dtype=float)
    z /= np.linalg.norm(z)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    return matrix(np.stack((x, np.cross(z, x), z), 1), np.asarray(position, dtype=float))


FRONT = CameraModel("front", LENS, "world", looking((-0.6, -1.0, 0.8), (0, 0, 0.05)))
BACK = CameraModel("back", LENS, "world", looking((0.6, 1.0, 0.8), (0, 0, 0.05)))


def draw_face(image: Picture, corners: Array, picture: Picture, finer: int = 6) -> None:
    """Draw a picture where its corners are, (4, 2) [pixels], with smooth edges."""
    low = np.maximum(np.floor(corners.min(0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(corners.max(0)).astype(int) + 4, image.shape[::-1])
    if (high - low < 8).any():
        return
    height, width = picture.shape
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    target = ((corners - low + 0.5) * finer - 0.5).astype(np.float32)
    size = tuple(int(edge) for edge in (high - low) * finer)
    patch = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    large = cv2.resize(patch, size, interpolation=cv2.INTER_NEAREST)
    warp = cv2.getPerspectiveTransform(source, target)
    large = cv2.warpPerspective(
        picture, warp, size, dst=large, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    image[low[1] : high[1], low[0] : high[0]] = cv2.resize(
        large, tuple(int(edge) for edge in high - low), interpolation=cv2.INTER_AREA
    )


def picture_of(
    pose: Array | None,
    camera: CameraModel,
    rng: np.random.Generator | None = None,
    box: MarkedBox = CUBE,
    noise: float = 3.0,
    place: Array | None = None,
) -> Picture:
    """What a camera sees of a box that nothing hides, (height, width), grey.

    Args:
        pose: of the box (4, 4), world frame; None for no box.
        camera: the camera.
        rng: for noise; None for none.
        box: the box.
        noise: its standard deviation, of 255.
        place: where the camera is, if not where its model says, (4, 4).
    """
    image = np.full(camera.lens.size[::-1], _GREY, np.uint8)
    if pose is not None:
        where = attrs.evolve(camera, pose=camera.pose if place is None else place)
        to_camera = inverse(where.pose) @ pose
        for face in FACES:
            points = box.face_corners(face) @ to_camera[:3, :3].T + to_camera[:3, 3]
            inwards = np.cross(points[1] - points[0], points[3] - points[0])
            if (inwards @ points.mean(0)) > 0 and points[:, 2].min() > 0.02:
                draw_face(image, where.lens.project(points), face_picture(box, face))
    if rng is None:
        return image
    grain = noise * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)
