import itertools
import threading
import time

import cv2
import numpy as np
import pytest

from codi_core.errors import CodiError
from codi_franka.vision.calibrate_command import make_main
from codi_franka.vision.cameras import (
    INDEX,
    CameraError,
    CameraThread,
    Frame,
    Health,
    OpenCvCamera,
    RecordedCamera,
    RecordingEndedError,
    read_shots,
    record,
)


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


class Scripted:
    """A camera whose pictures come from a list of numbers; None fails."""

    name = "front"

    def __init__(self, numbers, pause=0.005):
        self.numbers, self.pause, self.closed = iter(numbers), pause, False

    def read(self):
        time.sleep(self.pause)
        number = next(self.numbers, "end")
        if number == "end":
            raise RecordingEndedError("no more")
        if number is None:
            raise CameraError("the cable is out")
        return Frame(time.monotonic(), np.full((8, 8), number % 256, np.uint8), self.name)

    def close(self):
        self.closed = True


@pytest.fixture
def thread():
    started = []

    def start(open_camera):
        started.append(CameraThread(open_camera, "front", threading.Event()))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_the_newest_picture_is_taken_once(thread):
    reading = thread(lambda: Scripted(range(5)))
    until(lambda: reading.error is not None)
    assert reading.take().image[0, 0] == 4
    assert reading.take() is None and not reading.waiting


def test_a_frozen_camera_is_told_from_one_that_delivers(thread):
    frozen = thread(lambda: Scripted(itertools.repeat(7)))
    lively = thread(lambda: Scripted(itertools.count()))
    until(lambda: frozen.health() is Health.FROZEN)
    assert frozen.take() is not None  # the first time it was news
    time.sleep(0.05)
    assert frozen.take() is None
    assert lively.health() is Health.WELL and lively.take() is not None


def test_a_camera_that_thaws_is_well_again(thread):
    numbers = itertools.chain([1] * 20, itertools.count())
    reading = thread(lambda: Scripted(numbers))
    until(lambda: reading.health() is Health.FROZEN)
    until(lambda: reading.health() is Health.WELL)


def test_a_silent_camera_is_noticed_and_opened_again(thread):
    opened = []

    def open_camera():
        opened.append(Scripted([1, 2, None] if not opened else itertools.count()))
        return opened[-1]

    reading = thread(open_camera)
    until(lambda: reading.error == "the cable is out")
    until(lambda: reading.health() is Health.SILENT)
    until(lambda: reading.health() is Health.WELL)
    assert opened[0].closed and len(opened) == 2 and reading.error is None


def test_a_camera_that_cannot_be_opened_says_so(thread):
    def fails():
        raise CameraError("not plugged in")

    reading = thread(fails)
    until(lambda: reading.error == "not plugged in")


def test_a_recording_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (6, 8, 3)).astype(np.uint8) for _ in range(3)]
    frames = [(Frame(0.1 * n, image, "front"), [[0.0] * 7] * 2) for n, image in enumerate(images)]
    assert record(tmp_path, frames) == 3
    assert record(tmp_path, [(Frame(0.5, images[0][..., 0], "back"), None)]) == 4
    camera = RecordedCamera(tmp_path, "front")
    for number, image in enumerate(images):
        frame = camera.read()
        assert frame.time == pytest.approx(0.1 * number) and (frame.image == image).all()
    with pytest.raises(RecordingEndedError, match="front"):
        camera.read()
    shots = list(read_shots(tmp_path))
    assert shots[0].joints.shape == (2, 7) and shots[3].joints is None


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(CodiError, match=r"no frames\.jsonl"):
        list(read_shots(tmp_path))
    (tmp_path / INDEX).write_text('{"camera": "front", "time": 0}\n')
    with pytest.raises(CodiError, match="damaged"):
        list(read_shots(tmp_path))
    (tmp_path / INDEX).write_text('{"camera": "front", "time": 0, "file": "gone.png"}\n')
    with pytest.raises(CodiError, match=r"gone\.png"):
        RecordedCamera(tmp_path, "front").read()
    with pytest.raises(CodiError, match="no pictures of a camera 'left'"):
        RecordedCamera(tmp_path, "left")


def test_a_camera_that_is_not_there_is_named():
    with pytest.raises(CameraError, match=r"camera 'front' .* can't be opened"):
        OpenCvCamera("front", "/nowhere/video.avi")


@pytest.fixture
def video(tmp_path):
    """Ten pictures that get brighter."""
    path = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for number in range(10):
        writer.write(np.full((48, 64, 3), (20 * number, 0, 200), np.uint8))
    writer.release()
    return path


def test_a_camera_delivers_rgb_with_its_time(video):
    camera = OpenCvCamera("front", video, (64, 48), clock=lambda: 7.0, latency=0.03)
    frames = [camera.read() for _ in range(10)]
    assert frames[0].image.shape == (48, 64, 3) and frames[0].time == pytest.approx(6.97)
    assert frames[9].image[20, 20] == pytest.approx([200, 0, 180], abs=12)
    with pytest.raises(CameraError, match="delivers no picture"):
        camera.read()
    camera.close()


def test_a_camera_of_another_size_is_refused(video):
    with pytest.raises(CameraError, match="delivers 64 x 48 pixels, not 1280 x 720"):
        OpenCvCamera("front", video)


def test_pictures_are_recorded_with_the_arms(video, tmp_path, monkeypatch, capsys):
    keys = iter(["", "", EOFError()])

    def press(*_):
        key = next(keys)
        if isinstance(key, EOFError):
            raise key
        return key

    monkeypatch.setattr("builtins.input", press)
    asked = []

    def open_arms(addresses):
        asked.append(addresses)
        return lambda: np.arange(14.0).reshape(2, 7)

    shots = tmp_path / "shots"
    given = ["--camera", "front", "--source", video, "--size", "64", "48", "--shots", str(shots)]
    assert make_main(open_arms)(["record", *given, "--arms", "left=1.2.3.4"]) == 0
    assert asked == ["left=1.2.3.4"]
    first, second = read_shots(shots)
    assert first.joints[1, 6] == 13 and second.image.shape == (48, 64, 3)
    assert "2 pictures" in capsys.readouterr().out
