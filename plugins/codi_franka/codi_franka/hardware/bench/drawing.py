"""The program that draws what a simulated cell's cameras see, as the driver's cameras.

``python -m codi_franka.hardware.bench.drawing SETUP`` hears from the cell how it is, renders the
marked box and the arms' meshes, spoils the pictures as cameras do, and delivers them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.bench.run_results import PICTURED
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.picture_link import PictureServer
from codi_franka.hardware.simulated_cell import Newest, Told
from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.measuring.looks import LOOKS
from codi_franka.vision.measuring.situations import FIXED_CAMERAS, WRIST_CAMERAS, Situation
from codi_franka.vision.measuring.study import Studio
from codi_franka.vision.poses import from_pose

CAMERAS = dict(zip(PICTURED, (FIXED_CAMERAS, WRIST_CAMERAS), strict=True))
"""The cameras by what ``--cameras`` calls them."""
_LOOK = "ordinary"
_SAMPLES = 0
"""For each pixel; 4 take twice as long to draw, and are read no better once they are blurred."""
_NEW = 0.001
"""[s] By which the next message is newer, at least."""
_KEPT_MOST = 40
"""Moments whose pictures are kept to be looked at."""


@attrs.frozen
class Drawing:
    """What the program is told.

    Attributes:
        cell: the port at which the cell tells how it is.
        port: at which pictures are delivered.
        cameras: a key of :data:`CAMERAS`.
        size: of the box [m].
        rate: moments a second of the cell's time at which pictures are taken, if there is time.
        seed: of what is random in the pictures.
        folder: gets some of the pictures.
        keep: of so many moments the pictures of one are kept.
    """

    cell: int
    port: int
    cameras: str
    size: tuple[float, float, float]
    rate: float
    seed: int
    folder: str
    keep: int = 25

    @classmethod
    def of(cls, text: str) -> Drawing:
        """What a JSON object says."""
        values = json.loads(text)
        return cls(**{**values, "size": tuple(values["size"])})


@attrs.frozen
class Exposures:
    """How many pictures were taken.

    Attributes:
        count: moments at which all cameras took one.
        rate: how many a second of the cell's time.
        seconds: real ones that it took to draw those of one moment, in the median.
    """

    count: int
    rate: float
    seconds: float

    @classmethod
    def of(cls, events: Sequence[Mapping[str, Any]]) -> Exposures:
        """What a drawing program has told of them."""
        times = [event["exposed"] for event in events]
        passed = times[-1] - times[0] if times else 0.0
        seconds = [event["seconds"] for event in events]
        return cls(
            count=len(times),
            rate=round((len(times) - 1) / passed, 2) if passed else 0.0,
            seconds=round(float(np.median(seconds)), 3) if seconds else 0.0,
        )


class Artist:
    """Draws the pictures of moments.

    Args:
        drawing: of what.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._cameras = CAMERAS[drawing.cameras]
        self._studio = Studio(
            self._cameras,
            MarkedBox.fitting(drawing.size),
            np.random.default_rng(drawing.seed),
            samples=_SAMPLES,
        )
        self._folder, self._keep, self._count = Path(drawing.folder), drawing.keep, 0

    def draw(self, told: Told) -> dict[str, NDArray[Any]]:
        """A grey picture (height, width) of each camera, by its name."""
        situation = Situation(told.joints, told.widths, from_pose(told.pose))
        pictures = self._studio.take(situation, LOOKS[_LOOK])
        named = {
            camera.name: picture for camera, picture in zip(self._cameras, pictures, strict=True)
        }
        if self._count % self._keep == 0 and self._count < self._keep * _KEPT_MOST:
            self._save(named)
        self._count += 1
        return named

    def close(self) -> None:
        """Free the graphics memory."""
        self._studio.close()

    def _save(self, pictures: dict[str, NDArray[Any]]) -> None:
        for name, picture in pictures.items():
            cv2.imwrite(str(self._folder / f"{self._count:05}-{name}.png"), picture)


def serve(drawing: Drawing) -> None:
    """Draw and deliver until the process is ended."""
    folder = Path(drawing.folder)
    folder.mkdir(parents=True, exist_ok=True)
    artist = Artist(drawing)
    server = PictureServer(drawing.port, _names(CAMERAS[drawing.cameras]))
    with Newest(("127.0.0.1", drawing.cell), ArmClock()) as newest:
        artist.draw(newest.look()[1])  # the first one takes longer
        print("ready", flush=True)
        due, period = newest.look()[1].time, 1 / drawing.rate
        while True:
            # A message that has just come, so that what is stamped now was so now.
            told = newest.wait(max(due, newest.look()[1].time + _NEW))
            if told is None:
                continue
            server.exposed()
            began = time.monotonic()
            server.deliver(artist.draw(told))
            seconds = round(time.monotonic() - began, 3)
            print(json.dumps({"exposed": told.time, "seconds": seconds}), flush=True)
            # Who can't keep up leaves moments out.
            due = max(due, told.time - period) + period


def _names(cameras: Sequence[CameraModel]) -> tuple[str, ...]:
    return tuple(camera.name for camera in cameras)


if __name__ == "__main__":
    serve(Drawing.of(sys.argv[1]))
