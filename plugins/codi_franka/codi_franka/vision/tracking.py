"""Cameras in, the cube's estimate out: what a plant asks for the cube."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError, UsageError
from codi_franka.vision.calibration_file import load_cameras
from codi_franka.vision.camera_model import WORLD, CameraModel
from codi_franka.vision.cameras import (
    SILENT_AFTER,
    Camera,
    CameraThread,
    Frame,
    Health,
    OpenCvCamera,
)
from codi_franka.vision.estimate import Cause, CubeEstimate
from codi_franka.vision.fit import Fit, Refusal
from codi_franka.vision.hands import HandHistory, HandPoses
from codi_franka.vision.locate import Locator, Seen
from codi_franka.vision.markers import CUBE, MarkedBox
from codi_franka.vision.poses import inverse, matrix
from codi_franka.vision.tracker import CubeTracker, TrackerSettings

Array = NDArray[np.float64]

TOGETHER = 0.06
"""[s] Pictures of different cameras that near in time are fitted as one moment."""
_SAME_MOMENT = 0.005
"""[s] Within which a cube has not moved."""
_PATIENCE = 0.04
"""[s] For which a picture waits for those of the other cameras."""
_QUIET = 0.2
"""[real s] Without a picture, after which it is looked whether cameras are silent."""


class _Hands(Protocol):
    """What a plant tells of its hands: see ``codi_franka.hardware.cube.Hands``."""

    @property
    def positions(self) -> Array: ...

    @property
    def rotations(self) -> Array: ...

    @property
    def widths(self) -> Array: ...


class Tracking:
    """From pictures to estimates, without any thread of its own.

    Args:
        models: the calibrated cameras.
        box: what is tracked.
        settings: of the tracker.
    """

    def __init__(
        self,
        models: Sequence[CameraModel],
        box: MarkedBox = CUBE,
        settings: TrackerSettings | None = None,
    ) -> None:
        self.hands = HandHistory()
        self.tracker = CubeTracker(self.hands, box, settings)
        self._models = {model.name: model for model in models}
        self._locator = Locator(box)
        self._lock = threading.Lock()

    def process(self, frames: Sequence[Frame]) -> Fit | Refusal | None:
        """Track the cube in pictures of one moment; None if none could be used.

        Pictures that are much older than the newest are left out, and so are those of a camera on a
        hand while nobody has told where the hands are.
        """
        newest = max((frame.time for frame in frames), default=-np.inf)
        with self._lock:
            seen = [
                (frame.time, entry)
                for frame in frames
                if newest - frame.time <= TOGETHER and (entry := self._seen(frame, newest))
            ]
            expected = self.tracker.expected(newest)
        if not seen:
            return None
        found = self._locator.locate([entry for _, entry in seen], expected)
        if found is Refusal.DISAGREE and newest - min(when for when, _ in seen) > _SAME_MOMENT:
            # The cube may have moved in between, and nobody knows how yet.
            found = self._locator.locate([e for when, e in seen if when == newest], expected)
        with self._lock:
            if isinstance(found, Fit):
                self.tracker.see(newest, found)
            else:
                disagree = found is Refusal.DISAGREE
                self.tracker.miss(newest, Cause.DISAGREE if disagree else Cause.HIDDEN)
        return found

    def lacking(self, now: float, health: Mapping[str, Health]) -> None:
        """Note that there have been no pictures, and why."""
        frozen = any(state is Health.FROZEN for state in health.values())
        with self._lock:
            self.tracker.miss(now, Cause.CAMERAS_FROZEN if frozen else Cause.CAMERAS_SILENT)

    def estimate(self, now: float) -> CubeEstimate:
        """What is known about the cube at ``now`` [s]."""
        with self._lock:
            return self.tracker.estimate(now)

    def _seen(self, frame: Frame, newest: float) -> Seen | None:
        """The picture with its camera's place, as if it had been taken at ``newest``.

        What the cube has moved in between, as far as the tracker knows, is given to the camera.
        """
        model = self._models[frame.camera]
        if frame.image.shape[1::-1] != tuple(model.lens.size):
            width, height = model.lens.size
            raise CodiError(
                f"camera '{frame.camera}' delivers {frame.image.shape[1]} x {frame.image.shape[0]} "
                f"pixels, but was calibrated with {width} x {height}"
            )
        hands = self.hands.at(frame.time)
        if model.mount != WORLD and hands is None:
            return None
        place = model.in_world(np.empty((0, 4, 4)) if hands is None else hands.poses)
        then, now = self.tracker.expected(frame.time), self.tracker.expected(newest)
        if then is not None and now is not None:
            place = now @ inverse(then) @ place
        return model, place, frame.image


class TrackedCube:
    """Follows the cube with cameras in the background; a plant's ``CubeSource``.

    Args:
        models: the calibrated cameras.
        opening: by name of the camera, what opens it.
        clock: seconds of the plant's clock, which the pictures are stamped with, too.
        box: what is tracked.
        settings: of the tracker.

    Attributes:
        on_hands: whether hands carry all cameras.
        error: what went wrong with pictures last.
    """

    def __init__(
        self,
        models: Sequence[CameraModel],
        opening: Mapping[str, Callable[[], Camera]],
        clock: Callable[[], float] = time.monotonic,
        box: MarkedBox = CUBE,
        settings: TrackerSettings | None = None,
    ) -> None:
        self.tracking = Tracking(models, box, settings)
        self._clock = clock
        self._arrived, self._stopping = threading.Event(), threading.Event()
        self._cameras = [
            CameraThread(opening[model.name], model.name, self._arrived, clock) for model in models
        ]
        self.on_hands = all(model.mount != WORLD for model in models)
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name="cube tracking", daemon=True)
        self._thread.start()

    def estimate(self, now: float, hands: _Hands) -> CubeEstimate:
        """Where the cube is.

        Args:
            now: on the plant's clock [s].
            hands: where the hands are then.
        """
        poses = [matrix(*pair) for pair in zip(hands.rotations, hands.positions, strict=True)]
        self.tracking.hands.add(now, HandPoses(np.stack(poses), np.array(hands.widths, float)))
        return self.tracking.estimate(now)

    def health(self) -> dict[str, Health]:
        """How each camera does."""
        return {camera.name: camera.health() for camera in self._cameras}

    def close(self) -> None:
        """Stop tracking and let go of the cameras."""
        self._stopping.set()
        self._arrived.set()
        for camera in self._cameras:
            camera.close()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._arrived.wait(_QUIET):
                # What was taken since then may still be on its way, and must not come too late.
                self.tracking.lacking(self._clock() - SILENT_AFTER, self.health())
                continue
            try:
                self._gather()
            except CodiError as error:  # the estimate gets old, and so says that it may not be used
                self.error = str(error)

    def _gather(self) -> None:
        """Take a picture from each camera that delivers, and track the cube in them."""
        until = self._clock() + _PATIENCE
        while self._clock() < until and not all(
            camera.waiting or camera.health() is not Health.WELL for camera in self._cameras
        ):
            time.sleep(0.002)
        self._arrived.clear()
        frames = [frame for camera in self._cameras if (frame := camera.take()) is not None]
        if frames:
            self.tracking.process(frames)


Opening = Callable[[str, int | str, tuple[int, int], Callable[[], float]], Callable[[], Camera]]
"""Makes, of a camera's name and device, its pictures' size and a clock, what opens the camera."""


def opencv(
    name: str, device: int | str, size: tuple[int, int], clock: Callable[[], float]
) -> Callable[[], Camera]:
    """What opens a camera by OpenCV."""
    return partial(OpenCvCamera, name, device, size, clock)


def track_with(
    file: Path,
    devices: Mapping[str, int | str],
    clock: Callable[[], float] = time.monotonic,
    box: MarkedBox = CUBE,
    opening: Opening = opencv,
) -> TrackedCube:
    """Follow the cube with cameras of a calibration, all of them or some.

    Args:
        file: that ``codi franka-calibrate`` wrote.
        devices: by name of the camera, its device's number, or an address or file.
        clock: seconds of the plant's clock.
        box: what is tracked.
        opening: how cameras are opened.

    Raises:
        UsageError: the calibration doesn't know one of the cameras, or none is named.
        CodiError: it is damaged.
    """
    known = {model.name: model for model in load_cameras(file)}
    unknown = [name for name in devices if name not in known]
    if unknown or not devices:
        raise UsageError(
            f"'{file}' knows the cameras {', '.join(known)}, not {', '.join(unknown) or 'none'}: "
            "name one or several of them, each with its device"
        )
    models = [known[name] for name in devices]
    cameras = {
        model.name: opening(model.name, devices[model.name], model.lens.size, clock)
        for model in models
    }
    return TrackedCube(models, cameras, clock, box)
