"""Where pictures come from: cameras, recordings, and a thread for each of them."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import attrs
import cv2
import numpy as np

from codi_core.errors import CodiError
from codi_core.files.durable import append_lines, read_lines
from codi_franka.vision.detection import Image

INDEX = "frames.jsonl"
FROZEN_AFTER = 3
"""Equal pictures in a row: a real sensor's noise never repeats."""
SILENT_AFTER = 0.5
"""[s] Without a new picture."""
_REOPENED = 1.0
"""[s] Between two tries to open a camera that failed."""


class CameraError(CodiError):
    """A camera delivers nothing."""


class RecordingEndedError(CameraError):
    """A recording has no more pictures."""


@attrs.frozen(eq=False)
class Frame:
    """A picture.

    Attributes:
        time: of the middle of its exposure, on the plant's clock [s].
        image: (height, width, 3) RGB or (height, width) grey.
        camera: the camera's name.
    """

    time: float
    image: Image
    camera: str


class Camera(Protocol):
    """Delivers pictures."""

    name: str

    def read(self) -> Frame:
        """The next picture; waits for it.

        Raises:
            CameraError: there is none.
        """
        ...

    def close(self) -> None:
        """Let go of the device."""
        ...


class OpenCvCamera:
    """A camera that OpenCV can read: a USB camera, a stream, a video.

    Args:
        name: as in the calibration.
        source: a device's number, or an address or file.
        size: width and height [pixels].
        clock: seconds of the plant's clock.
        latency: from the middle of the exposure until a picture can be read [s].

    Raises:
        CameraError: it can't be opened, or has no pictures of that size.
    """

    def __init__(
        self,
        name: str,
        source: int | str,
        size: tuple[int, int] = (1280, 720),
        clock: Callable[[], float] = time.monotonic,
        latency: float = 0.03,
    ) -> None:
        self.name, self._clock, self._latency = name, clock, latency
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise CameraError(
                f"camera '{name}' ({source}) can't be opened: is it plugged in, and does no other "
                "program use it? `v4l2-ctl --list-devices` lists what is there"
            )
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        got = tuple(
            int(self._capture.get(which))
            for which in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if got != tuple(size):
            self._capture.release()
            raise CameraError(
                f"camera '{name}' ({source}) delivers {got[0]} x {got[1]} pixels, not "
                f"{size[0]} x {size[1]}: choose another size, and calibrate with that"
            )

    def read(self) -> Frame:
        """The next picture."""
        good = self._capture.grab()
        moment = self._clock() - self._latency
        good, picture = self._capture.retrieve() if good else (False, None)
        if not good or picture is None:
            raise CameraError(f"camera '{self.name}' delivers no picture: check its cable")
        return Frame(moment, np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)), self.name)

    def close(self) -> None:
        """Let go of the device."""
        self._capture.release()


class RecordedCamera:
    """The pictures of one camera in a folder that :func:`record` wrote.

    Args:
        folder: with ``frames.jsonl`` and the pictures.
        name: of the camera.

    Raises:
        CodiError: the folder holds no recording of that camera.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._rest = iter([shot for shot in read_shots(folder) if shot.camera == name])
        if not any(line["camera"] == name for line in read_lines(folder / INDEX)):
            raise CodiError(f"'{folder}' holds no pictures of a camera '{name}'")

    def read(self) -> Frame:
        """The next picture."""
        shot = next(self._rest, None)
        if shot is None:
            raise RecordingEndedError(f"the recording of camera '{self.name}' has ended")
        return Frame(shot.time, shot.image, shot.camera)

    def close(self) -> None:
        """Nothing is open."""


@attrs.frozen(eq=False)
class Shot:
    """A recorded picture, with where the arms were.

    Attributes:
        time: of the exposure [s].
        camera: its name.
        file: the picture's.
        joints: (N, 7) [rad], or None.
    """

    time: float
    camera: str
    file: Path
    joints: Any = None

    @property
    def image(self) -> Image:
        """The picture, (height, width, 3) RGB.

        Raises:
            CodiError: the file can't be read.
        """
        picture = cv2.imread(str(self.file), cv2.IMREAD_COLOR)
        if picture is None:
            raise CodiError(f"'{self.file}' is no picture that can be read")
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def record(folder: Path, frames: Iterable[tuple[Frame, Any]]) -> int:
    """Add pictures to a recording, each with the arms' joint positions (N, 7) or None.

    Returns:
        How many there are now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = len(read_lines(folder / INDEX))
    for frame, joints in frames:
        file = f"{frame.camera}-{count:05}.png"
        colours = frame.image if frame.image.ndim == 2 else frame.image[..., ::-1]
        cv2.imwrite(str(folder / file), np.ascontiguousarray(colours))
        line = {"camera": frame.camera, "time": frame.time, "file": file, "joints": joints}
        append_lines(folder / INDEX, [line])
        count += 1
    return count


def read_shots(folder: Path) -> Iterator[Shot]:
    """What a recording holds, in its order.

    Raises:
        CodiError: it is no recording, or damaged.
    """
    if not (folder / INDEX).exists():
        raise CodiError(f"'{folder}' is no recording: it has no {INDEX}")
    for line in read_lines(folder / INDEX):
        try:
            joints = None if line.get("joints") is None else np.array(line["joints"], float)
            yield Shot(float(line["time"]), line["camera"], folder / line["file"], joints)
        except (KeyError, TypeError, ValueError) as error:
            raise CodiError(f"'{folder / INDEX}' is damaged: {error!r} in {line}") from error


class Health(Enum):
    """How a camera does."""

    WELL = "delivers"
    SILENT = "delivers nothing"
    FROZEN = "delivers the same picture over and over"


class CameraThread:
    """Reads a camera all the time, and keeps its newest picture.

    A picture that equals the one before is as old as that one, and kept from the reader.

    Args:
        open_camera: opens it; called again when it has failed.
        name: of the camera.
        arrived: is set when there is a new picture.
        clock: seconds of the plant's clock.
    """

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        name: str,
        arrived: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self._open, self._arrived, self._clock = name, open_camera, arrived, clock
        self._newest: Frame | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._heard, self._repeats, self._print = clock(), 0, -1
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"camera {name}", daemon=True)
        self._thread.start()

    def take(self) -> Frame | None:
        """The newest picture, once."""
        with self._lock:
            frame, self._newest = self._newest, None
        return frame

    @property
    def waiting(self) -> bool:
        """Whether there is a picture to take."""
        return self._newest is not None

    def health(self) -> Health:
        """How the camera does now."""
        if self._clock() - self._heard > SILENT_AFTER:
            return Health.SILENT
        return Health.FROZEN if self._repeats >= FROZEN_AFTER else Health.WELL

    def close(self) -> None:
        """Stop reading; does not wait for a camera that hangs."""
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read(self._open())
            except RecordingEndedError as error:
                self.error = str(error)
                return
            except Exception as error:  # whatever a camera's library raises
                self.error = str(error)
                self._stopping.wait(_REOPENED)

    def _read(self, camera: Camera) -> None:
        try:
            while not self._stopping.is_set():
                frame = camera.read()
                self._heard, self.error = self._clock(), None
                fingerprint = zlib.crc32(np.ascontiguousarray(frame.image).data)
                self._repeats = self._repeats + 1 if fingerprint == self._print else 0
                self._print = fingerprint
                if self._repeats:
                    continue
                with self._lock:
                    self._newest = frame
                self._arrived.set()
        finally:
            camera.close()
