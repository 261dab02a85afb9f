"""Boxes on the table, and what cameras would see of them, without any picture."""

from __future__ import annotations

import numpy as np

from codi_franka.vision.detection import Sightings
from codi_franka.vision.fit import View
from codi_franka.vision.markers import CUBE
from codi_franka.vision.poses import exp, inverse, matrix

READY = np.tile([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785], (2, 1))


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
