import itertools
import threading
import time

import attrs
import numpy as np
import pytest

from codi_core.errors import CodiError
from codi_franka.vision.calibration_file import Calibrated, CameraEntry, write_entries
from codi_franka.vision.camera_model import CameraModel
from codi_franka.vision.cameras import Frame, Health
from codi_franka.vision.estimate import Cause, CubeStatus
from codi_franka.vision.fit import Fit, Refusal
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.measuring.drawn import BACK, FRONT, picture_of
from codi_franka.vision.measuring.situations import WRIST_CAMERAS
from codi_franka.vision.poses import difference, from_pose, moved
from codi_franka.vision.tracking import TrackedCube, Tracking, track_with
from tests.hardware.vision.synthetic import READY, on_table

CAMERAS = [FRONT, BACK]
OPEN = (0.08, 0.08)


def frames(pose, now, rng, cameras=CAMERAS):
    return [Frame(now, picture_of(pose, camera, rng), camera.name) for camera in cameras]


def test_pictures_become_an_estimate():
    rng = np.random.default_rng(0)
    tracking = Tracking(CAMERAS)
    pose = on_table(0.1, 0.05, 0.4)
    for step in range(4):
        assert isinstance(tracking.process(frames(pose, 0.1 * step, rng)), Fit)
    estimate = tracking.estimate(0.35)
    assert estimate.status is CubeStatus.SEEN
    assert estimate.time == pytest.approx(0.3)  # its age is 50 ms
    assert np.linalg.norm(difference(from_pose(estimate.pose), pose)[:3]) < 0.001


def test_a_camera_that_is_late_is_fitted_to_where_the_cube_was():
    rng = np.random.default_rng(1)
    tracking = Tracking(CAMERAS)

    def where(now):
        return on_table(0.4 * now - 0.25, 0.05, 0.4)

    together = 0
    for step in range(12):
        now = 0.1 * step
        late = now - 0.04
        seen = [*frames(where(now), now, rng, [FRONT]), *frames(where(late), late, rng, [BACK])]
        found = tracking.process(seen)
        assert isinstance(found, Fit)
        assert np.linalg.norm(difference(found.pose, where(now))[:3]) < 0.006
        together += found.cameras == 2
    assert together >= 4  # once it is known how the cube moves
    assert tracking.estimate(now).twist[0] == pytest.approx(0.4, abs=0.1)


def test_an_old_picture_is_left_out():
    rng = np.random.default_rng(2)
    tracking = Tracking(CAMERAS)
    pose = on_table()
    old = frames(on_table(0.3), 0.5, rng, [BACK])
    found = tracking.process([*frames(pose, 1.0, rng, [FRONT]), *old])
    assert isinstance(found, Fit) and found.cameras == 1


def wrist():
    """A camera on the left hand, the hands, and a cube that it sees."""
    camera = WRIST_CAMERAS[0]
    hands = HandPoses.of(READY, OPEN)
    place = camera.in_world(hands.poses)
    middle = place @ np.array([0.0, 0.0, 0.35, 1.0])
    return camera, hands, on_table(middle[0], middle[1], 0.3)


def test_a_camera_on_a_hand_needs_to_know_where_the_hand_is():
    rng = np.random.default_rng(3)
    camera, hands, pose = wrist()
    tracking = Tracking([camera])

    def seen(now):
        place = camera.in_world(hands.poses)
        return [Frame(now, picture_of(pose, camera, rng, place=place), camera.name)]

    assert tracking.process(seen(0.0)) is None
    for step in range(1, 5):
        tracking.hands.add(0.1 * step, hands)
        assert isinstance(tracking.process(seen(0.1 * step)), Fit)
    estimate = tracking.estimate(0.4)
    assert estimate.status is CubeStatus.SEEN
    assert np.linalg.norm(difference(from_pose(estimate.pose), pose)[:3]) < 0.002


def test_hands_move_while_a_picture_travels():
    rng = np.random.default_rng(4)
    camera, _, pose = wrist()
    tracking = Tracking([camera])
    joints = READY.copy()
    found = None
    for step in range(8):
        now = 0.1 * step
        joints[0, 0] += 0.02
        hands = HandPoses.of(joints, OPEN)
        tracking.hands.add(now, hands)
        if step < 2:
            continue
        between = HandPoses.of(joints - [[0.01] + [0] * 6, [0] * 7], OPEN)
        place = camera.in_world(between.poses)
        picture = picture_of(pose, camera, rng, place=place)
        found = tracking.process([Frame(now - 0.05, picture, camera.name)])
        assert np.linalg.norm(difference(found.pose, pose)[:3]) < 0.003
    assert tracking.estimate(0.7).status is CubeStatus.SEEN


def test_a_camera_that_was_moved_makes_the_pictures_contradict():
    rng = np.random.default_rng(5)
    bumped = attrs.evolve(BACK, pose=moved(BACK.pose, (0.08, 0, 0, 0, 0, 0.05)))
    tracking = Tracking(CAMERAS)
    pose = on_table(0.05, 0.02, 0.4)
    for step in range(4):
        tracking.process(frames(pose, 0.1 * step, rng))
    later = [*frames(pose, 0.4, rng, [FRONT]), *frames(pose, 0.4, rng, [bumped])]
    assert tracking.process(later) is Refusal.DISAGREE
    assert tracking.estimate(0.4).cause is Cause.DISAGREE
    assert tracking.estimate(0.4).status is CubeStatus.STALE


def test_frozen_and_silent_cameras_are_told_apart():
    rng = np.random.default_rng(6)
    for health, cause in (
        ({"front": Health.SILENT, "back": Health.SILENT}, Cause.CAMERAS_SILENT),
        ({"front": Health.FROZEN, "back": Health.SILENT}, Cause.CAMERAS_FROZEN),
    ):
        tracking = Tracking(CAMERAS)
        for step in range(4):
            tracking.process(frames(on_table(), 0.1 * step, rng))
        tracking.lacking(1.5, health)
        assert tracking.estimate(1.5).cause is cause
        assert tracking.estimate(1.5).status is CubeStatus.STALE
        assert tracking.estimate(4.5).status is CubeStatus.LOST


class Showing:
    """A camera in front of which things happen."""

    def __init__(self, model: CameraModel, stage):
        self.name, self.model, self.stage = model.name, model, stage

    def read(self):
        time.sleep(0.03)
        if self.stage.silent:
            self.stage.unplugged.wait(5.0)
        now = time.monotonic()
        picture = self.stage.picture(self.model)
        return Frame(now, picture, self.name)

    def close(self):
        pass


class Stage:
    def __init__(self, pose):
        self.random = np.random.default_rng(0)
        self.silent, self.frozen, self.unplugged = False, False, threading.Event()
        self.count = itertools.count()
        self.show(pose)

    def show(self, pose):
        self.drawn = {camera.name: picture_of(pose, camera) for camera in CAMERAS}

    def picture(self, model):
        image = self.drawn[model.name].copy()
        if not self.frozen:
            image[0, 0] = next(self.count) % 251  # a sensor's noise never repeats
        return image


class Resting:
    positions = HandPoses.of(READY, OPEN).poses[:, :3, 3]
    rotations = HandPoses.of(READY, OPEN).poses[:, :3, :3]
    widths = np.array(OPEN)


@pytest.fixture
def stage():
    stage = Stage(on_table(0.0, 0.1, 0.4))
    stage.source = TrackedCube(
        CAMERAS, {model.name: lambda model=model: Showing(model, stage) for model in CAMERAS}
    )
    yield stage
    stage.unplugged.set()
    stage.source.close()


def wait_for(stage, status, cause=None, seconds=8.0):
    end = time.monotonic() + seconds
    while True:
        estimate = stage.source.estimate(time.monotonic(), Resting)
        if estimate.status is status and (cause is None or estimate.cause is cause):
            return estimate
        assert time.monotonic() < end, (estimate, stage.source.health())
        time.sleep(0.01)


def test_cameras_are_followed_in_the_background(stage):
    estimate = wait_for(stage, CubeStatus.SEEN)
    assert estimate.pose[:3] == pytest.approx([0.0, 0.1, 0.025], abs=1e-3)
    assert set(stage.source.health().values()) == {Health.WELL}
    stage.show(on_table(0.3, 0.1, 0.4))  # 30 cm at once
    wait_for(stage, CubeStatus.STALE, Cause.JUMPED)
    end = time.monotonic() + 5
    while wait_for(stage, CubeStatus.SEEN).pose[0] < 0.29:
        assert time.monotonic() < end


def test_pictures_that_come_seldom_and_late_are_not_too_late(stage, monkeypatch):
    """One in 0.4 s, which is 0.4 s old when it comes."""

    def read(camera):
        now = time.monotonic()
        time.sleep(0.4)
        return Frame(now, stage.picture(camera.model), camera.name)

    monkeypatch.setattr(Showing, "read", read)
    end, ages = time.monotonic() + 20.0, []
    while (now := time.monotonic()) < end and len(ages) < 300:
        estimate = stage.source.estimate(now, Resting)
        ages += [now - estimate.time] if np.isfinite(estimate.time) else []
        time.sleep(0.01)
    assert len(ages) == 300 and np.median(ages) < 1.2


def test_both_cameras_freeze(stage):
    wait_for(stage, CubeStatus.SEEN)
    stage.frozen = True
    wait_for(stage, CubeStatus.STALE, Cause.CAMERAS_FROZEN)
    stage.frozen = False
    wait_for(stage, CubeStatus.SEEN)


def test_both_cameras_are_lost(stage):
    wait_for(stage, CubeStatus.SEEN)
    stage.silent = True
    wait_for(stage, CubeStatus.STALE, Cause.CAMERAS_SILENT)
    wait_for(stage, CubeStatus.LOST, Cause.CAMERAS_SILENT)


def test_the_cube_leaves_the_table(stage):
    wait_for(stage, CubeStatus.SEEN)
    stage.show(None)
    wait_for(stage, CubeStatus.STALE, Cause.HIDDEN)
    stage.show(on_table(-0.1, 0.0, 1.0))
    wait_for(stage, CubeStatus.SEEN)


def test_a_camera_that_nobody_calibrated_is_refused(tmp_path):
    file = tmp_path / "cameras.json"
    measured = Calibrated.now(0.3, 20, 0.001, 0.001)
    write_entries(
        file,
        {"front": CameraEntry("front", FRONT.lens, measured, "world", FRONT.pose, measured)},
    )
    with pytest.raises(CodiError, match="knows the cameras front, not side"):
        track_with(file, {"side": 0})
    with pytest.raises(CodiError, match="knows the cameras front, not none"):
        track_with(file, {})
    source = track_with(file, {"front": "/nowhere/video.avi"})
    assert source.estimate(0.0, Resting).status is CubeStatus.LOST
    source.close()


def test_pictures_of_another_size_are_refused():
    small = Frame(0.0, np.zeros((480, 640), np.uint8), "front")
    with pytest.raises(CodiError, match="640 x 480 pixels, but was calibrated with 1280 x 720"):
        Tracking(CAMERAS).process([small])
