"""From the pictures of one moment to the box's pose: detect, fit, look again, fit again."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.detection import Image, MarkerDetector
from codi_franka.vision.fit import Fit, Refusal, View, fit_box, rivals
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.second_look import look_again, nearer_pose

Array = NDArray[np.float64]
Seen = tuple[CameraModel, Array, Image]
"""A camera, its pose (4, 4) in the world when it took the picture, and the picture."""

WORKSPACE = np.array([[-1.2, -0.9, -0.05], [1.2, 0.9, 1.2]])
"""[m] World frame. A pose outside of it is a mistake."""


class Locator:
    """Finds a box; not for several threads at once.

    Args:
        box: with the markers.
    """

    def __init__(self, box: MarkedBox) -> None:
        self.box = box
        self._detector = MarkerDetector()

    def locate(self, seen: Sequence[Seen], expected: Array | None = None) -> Fit | Refusal:
        """The box's pose, or why there is none.

        Args:
            seen: one picture a camera, of one moment.
            expected: (4, 4), in the world, where the box should be; decides between two poses.
        """
        pictures = [_grey(picture) for _, _, picture in seen]
        views = [
            View(camera, place, self._detector.find(picture))
            for (camera, place, _), picture in zip(seen, pictures, strict=True)
        ]
        first: Fit | Refusal = fit_box(self.box, views, expected)
        if first is Refusal.AMBIGUOUS:
            best = self._decide(views, pictures)
        else:
            best = first if isinstance(first, Refusal) else self._improve(first, views, pictures)
        if isinstance(best, Refusal):
            return best
        place = best.pose[:3, 3]
        inside = ((place > WORKSPACE[0]) & (place < WORKSPACE[1])).all()
        return best if inside else Refusal.OUTSIDE

    def _decide(self, views: Sequence[View], pictures: Sequence[Image]) -> Fit | Refusal:
        """Of poses that look the same the one for which a second look finds the most markers."""
        fits = [fit_box(self.box, views, pose) for pose in rivals(self.box, views)]
        known = [self._improve(fit, views, pictures) for fit in fits if isinstance(fit, Fit)]
        most = max((fit.markers for fit in known), default=0)
        best = [fit for fit in known if fit.markers == most]
        sure = len(known) == len(fits) and len(best) == 1
        return best[0] if sure else Refusal.AMBIGUOUS

    def _improve(self, fit: Fit, views: Sequence[View], pictures: Sequence[Image]) -> Fit:
        """The fit with the markers that are seen at a second look."""
        pose = nearer_pose(self.box, fit, views, pictures)
        again = [
            look_again(self.box, pose, view, picture)
            for view, picture in zip(views, pictures, strict=True)
        ]
        second = fit_box(self.box, again, fit.pose)
        return second if isinstance(second, Fit) else fit


def _grey(picture: Image) -> Image:
    if picture.ndim == 2:
        return picture
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
