"""A picture of what the cameras see, with the markers that were read and where they put the box."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.detection import Image, MarkerDetector
from codi_franka.vision.fit import Fit
from codi_franka.vision.locate import Locator
from codi_franka.vision.markers import CUBE
from codi_franka.vision.measuring.looks import HARD, ORDINARY, Look
from codi_franka.vision.measuring.situations import (
    FIXED_CAMERAS,
    SITUATIONS,
    WRIST_CAMERAS,
    WRIST_SITUATIONS,
)
from codi_franka.vision.measuring.study import Draw, Studio
from codi_franka.vision.poses import Array, inverse

_READ, _AXES = (80, 220, 60), ((235, 60, 50), (70, 190, 60), (60, 110, 240))
_LENS = 150
"""[pixels] Half the size of what is shown enlarged."""


def draw_views(path: Path, seed: int = 0) -> Path:
    """Write a JPEG: fixed cameras with an ordinary and a hard look, and cameras on the hands."""
    rows = (
        (FIXED_CAMERAS, SITUATIONS["table"], ORDINARY),
        (FIXED_CAMERAS, SITUATIONS["air"], HARD),
        (WRIST_CAMERAS, WRIST_SITUATIONS["held"], ORDINARY),
    )
    strips = [_strip(*row, np.random.default_rng((seed, n))) for n, row in enumerate(rows)]
    picture = cv2.resize(np.concatenate(strips), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    bgr = np.ascontiguousarray(picture[..., ::-1])
    cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return path


def _strip(
    cameras: tuple[CameraModel, ...], draw: Draw, look: Look, random: np.random.Generator
) -> Image:
    studio = Studio(cameras, CUBE, random)
    situation = draw(random, CUBE)
    pictures = studio.take(situation, look)
    hands = studio.scene.hands()
    studio.close()
    seen = [(c, c.in_world(hands), p) for c, p in zip(cameras, pictures, strict=True)]
    found = Locator(CUBE).locate(seen, situation.box)
    pose = found.pose if isinstance(found, Fit) else None
    return np.concatenate([_marked(*view, pose) for view in seen], 1)


def _marked(camera: CameraModel, place: Array, grey: Image, pose: Array | None) -> Image:
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    for square in MarkerDetector().find(grey).corners:
        cv2.polylines(picture, [np.round(square * 16).astype(int)], True, _READ, 1, cv2.LINE_AA, 4)
    if pose is not None:
        to_camera = inverse(place) @ pose
        ends = 0.06 * np.concatenate((np.zeros((1, 3)), np.eye(3)))
        there = ends @ to_camera[:3, :3].T + to_camera[:3, 3]
        if there[:, 2].min() > 0.02:
            _draw_axes(picture, camera.lens.project(there))
    return picture


def _draw_axes(picture: Image, ends: Array) -> None:
    """The box's axes, and a small box once more, enlarged."""
    if np.linalg.norm(ends[1:] - ends[0], axis=-1).max() < 2 * _LENS / 3:
        _enlarge(picture, np.round(ends[0]).astype(int))
    far = np.abs(ends).max() > 4000  # the lens's model means nothing out there
    for end, colour in zip(ends[1:], _AXES, strict=True) if not far else ():
        line = np.round(np.stack((ends[0], end)) * 16).astype(int)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA, 4)


def _enlarge(picture: Image, middle: Array) -> None:
    """Show the surroundings of a point three times as large in the lower left corner."""
    half, size = _LENS // 3, 2 * _LENS
    height, width = picture.shape[:2]
    left, top = np.clip(middle - half, 0, (width - 2 * half, height - 2 * half))
    cut = picture[top : top + 2 * half, left : left + 2 * half]
    larger = cv2.resize(cut, (size, size), interpolation=cv2.INTER_CUBIC)
    low = height - size - 8
    picture[low : low + size, 8 : 8 + size] = larger
    cv2.rectangle(picture, (8, low), (8 + size, low + size), (255, 255, 255), 2)
