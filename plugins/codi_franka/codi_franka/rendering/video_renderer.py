"""Draws episodes of ``franka-handoff``: as video frames, from above, and as a film strip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import mujoco
import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import Renderer, Trace
from codi_franka.action import RATE_HZ
from codi_franka.rendering.film_strip import write_film_strip
from codi_franka.rendering.moments import key_moments
from codi_franka.rendering.opengl import Frame, OffscreenCamera
from codi_franka.rendering.paths import draw_paths
from codi_franka.rendering.scene import CAMERA, HandoffScene, build_scene
from codi_franka.rendering.shadows import TableShadows
from codi_franka.robot.box import CUBE, Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POSE_FIELDS = ("joint_position", "gripper_width", "cube_position", "cube_quaternion", "goal")
"""The events that make a picture."""
STILL_SIZE, STILL_SAMPLES = (960, 720), 4
"""Of the pictures in a film strip: there are few, so they may take longer."""


class HandoffRenderer(Renderer):
    """Draws episodes from their events.

    The scene is built for the first picture, in about a second. In software, on one core, a
    picture of 640 by 480 pixels takes about 30 ms, and 80 ms with four samples a pixel.

    Args:
        size: of the pictures, width and height [pixels].
        samples: for each pixel; 0 leaves edges jagged.
        meshes: whether the arms wear the published meshes; None: if they are installed.
        box: what stands for the cube.
    """

    monitors: Mapping[str, str] = {
        "force_n": "force at each hand [N]",
        "rejections": "commands bent or refused, by reason",
        "stream_gap_s": "longest gap between commands [s]",
        "cube_age_s": "age of the cube's pose [s]",
        "cube_error_m": "error of the cube's place [m]",
    }

    def __init__(
        self,
        size: tuple[int, int] = (640, 480),
        samples: int = 0,
        meshes: bool | None = None,
        box: Box = CUBE,
    ) -> None:
        self.box = box
        self.size = size
        self.samples = samples
        self.meshes = meshes
        self._scene: HandoffScene | None = None
        self._studio: _Studio | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or one in another process, builds its own scene: graphics memory can't move."""
        return type(self), (self.size, self.samples, self.meshes, self.box)

    def frames(self, trace: Trace) -> Iterator[Frame]:
        """One picture a control step, (height, width, 3).

        Args:
            trace: ``joint_position`` (T + 1, N, 7), ``gripper_width`` (T + 1, N),
                ``cube_position`` (T + 1, 3), ``cube_quaternion`` (T + 1, 4), ``goal`` (T + 1, 3).

        Raises:
            CodiError: no OpenGL works here; the message says what to do.
        """
        for step in range(len(trace["cube_position"])):
            yield self.picture(trace, step)

    def picture(self, trace: Trace, step: int) -> Frame:
        """The picture of one step, (height, width, 3); arguments and errors as :meth:`frames`."""
        if self._studio is None:
            self._studio = _Studio(self._built(), self.size, self.samples)
        return self._studio.picture([np.asarray(trace[name][step]) for name in POSE_FIELDS])

    def draw_paths(self, axes: Axes, trace: Trace) -> None:
        """Draw the hands' and the cube's paths, seen from above."""
        draw_paths(axes, trace)

    def film_strip(self, trace: Trace, path: Path, count: int = 6, first: int = 0) -> Path:
        """Write a PNG of an episode's key moments with their times.

        Args:
            trace: as for :meth:`frames`, and ``hand_position`` (T + 1, N, 3).
            path: where.
            count: how many moments.
            first: the number of the trace's first step in its episode.

        Returns:
            The path.
        """
        moments = key_moments(trace, count, self.box)
        with _Studio(self._built(), STILL_SIZE, STILL_SAMPLES) as studio:
            pictures = [
                studio.picture([np.asarray(trace[name][moment.step]) for name in POSE_FIELDS])
                for moment in moments
            ]
        shown = [attrs.evolve(moment, step=first + moment.step) for moment in moments]
        return write_film_strip(path, pictures, shown, 1 / RATE_HZ)

    def close(self) -> None:
        """Free the graphics memory; the next picture starts anew."""
        if self._studio is not None:
            self._studio.close()
            self._studio = None

    def _built(self) -> HandoffScene:
        if self._scene is None:
            self._scene = build_scene(meshes=self.meshes, box=self.box)
        return self._scene


class _Studio:
    """The scene and a camera."""

    def __init__(self, scene: HandoffScene, size: tuple[int, int], samples: int) -> None:
        self._scene = scene
        self._data = mujoco.MjData(scene.model)
        scene.model.vis.quality.offsamples = samples  # the camera reads it when it is made
        shadows = TableShadows(scene.casters())
        self._camera = OffscreenCamera(scene.model, CAMERA, size, shadows)

    def __enter__(self) -> _Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def picture(self, pose: list[NDArray[Any]]) -> Frame:
        self._scene.pose(self._data, *pose)
        return self._camera.picture(self._data)

    def close(self) -> None:
        self._camera.close()
