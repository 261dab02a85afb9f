"""Cameras at the table, and what they would see of a box, without any picture."""

from __future__ import annotations

import attrs
import cv2
import numpy as np

from codi_franka.vision.camera_model import CameraModel, Lens
from codi_franka.vision.detection import Sightings
from codi_franka.vision.fit import View
from codi_franka.vision.markers import CUBE, FACES
from codi_franka.vision.measuring.marked_scene import face_picture
from codi_franka.vision.poses import exp, inverse, matrix

LENS = Lens(
    (1280, 720),
    np.array([[900.0, 0, 639.5], [0, 900.0, 359.5], [0, 0, 1]]),
    np.array([-0.1, 0.02, 0.001, -0.001, 0.0]),
)
READY = np.tile([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785], (2, 1))


def looking(position, target):
    z = np.subtract(target, position, dtype=float)
    z /= np.linalg.norm(z)
    x = np.cross(z, (0.0, 0.0, 1.0))
    x /= np.linalg.norm(x)
    return matrix(np.stack((x, np.cross(z, x), z), 1), position)


FRONT = CameraModel("front", LENS, "world", looking((-0.6, -1.0, 0.8), (0, 0, 0.05)))
BACK = CameraModel("back", LENS, "world", looking((0.6, 1.0, 0.8), (0, 0, 0.05)))


def on_table(x=0.0, y=0.0, yaw=0.0):
    return matrix(exp((0, 0, yaw)), (x, y, 0.025))


def random_pose(rng):
    place = (rng.uniform(-0.6, 0.6), rng.uniform(-0.4, 0.4), rng.uniform(0.03, 0.4))
    return matrix(exp(rng.standard_normal(3)), place)


def corners_of(box, pose, camera):
    """Where all markers' corners are in the picture, (6, 4, 2), and which are turned to it."""
    to_camera = inverse(camera.pose) @ pose
    points = box.corners() @ to_camera[:3, :3].T + to_camera[:3, 3]
    inwards = np.cross(points[:, 1] - points[:, 0], points[:, 3] - points[:, 0])
    middle = points.mean(1)
    cosine = (inwards * middle).sum(-1)
    cosine /= np.linalg.norm(inwards, axis=-1) * np.linalg.norm(middle, axis=-1)
    return camera.lens.project(points), cosine > np.cos(np.radians(70))


def view(pose, camera, rng=None, noise=0.2, box=CUBE, only=None):
    corners, visible = corners_of(box, pose, camera)
    rows = np.flatnonzero(visible) if only is None else np.array(only, np.intp)
    seen = corners[rows]
    if rng is not None:
        seen = seen + noise * rng.standard_normal(seen.shape)
    return View(camera, camera.pose, Sightings(rows, seen))


def draw_face(image, corners, picture, finer=6):
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


def picture_of(pose, camera, rng=None, box=CUBE, noise=3.0, place=None):
    """What a camera sees of a box that nothing hides, grey; None for no box."""
    image = np.full(camera.lens.size[::-1], 120, np.uint8)
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
