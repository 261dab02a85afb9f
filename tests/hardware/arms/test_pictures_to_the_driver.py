"""Pictures that a program draws of a simulated cell, on their way to the driver's tracker."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import closing

import attrs
import numpy as np
import pytest

pytest.importorskip("cv2", reason="needs codi-franka[vision]")
from codi_core.errors import UsageError
from codi_franka.hardware.bench import drawing
from codi_franka.hardware.bench.drawing import CAMERAS, Artist, Drawing, Exposures
from codi_franka.hardware.bench.peers import Program
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.driver import cube_source
from codi_franka.hardware.picture_link import PictureServer, RenderedCamera
from codi_franka.hardware.simulated_cell import Told
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.controller import HOME
from codi_franka.vision.calibration_file import Calibrated, CameraEntry, write_entries
from codi_franka.vision.cameras import CameraError
from codi_franka.vision.fit import Fit
from codi_franka.vision.hands import HandPoses
from codi_franka.vision.locate import Locator
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.measuring.situations import FIXED_CAMERAS
from codi_franka.vision.poses import difference, from_pose
from tests.hardware.arms.told_cell import POSE, ToldCell

SIZE = (64, 48)
HOSTS = {"left": "127.0.0.1", "right": "127.0.0.2"}


def picture(value):
    return np.full(SIZE[::-1], value, np.uint8)


@pytest.fixture
def server():
    made = PictureServer(0, ("front", "back"))
    yield made
    made.close()


def joined(server, name="front", size=SIZE, clock=time.monotonic):
    """A camera that the server knows of."""
    before = len(server._guests)
    camera = RenderedCamera(name, server.address, size, clock)
    for _ in range(200):
        if len(server._guests) > before:
            return camera
        time.sleep(0.01)
    raise AssertionError("the camera was not let in")


def test_a_picture_is_stamped_when_it_is_taken_however_long_it_is_drawn(server):
    front, back = joined(server), joined(server, "back")
    frames = {}

    def read(camera):
        frames[camera.name] = camera.read()

    threads = [threading.Thread(target=read, args=(camera,)) for camera in (front, back)]
    for thread in threads:
        thread.start()
    exposed = time.monotonic()
    server.exposed()
    time.sleep(0.3)
    server.deliver({"front": picture(7), "back": picture(9)})
    for thread in threads:
        thread.join(5.0)
    for name, value in (("front", 7), ("back", 9)):
        assert frames[name].time == pytest.approx(exposed, abs=0.1)
        assert frames[name].camera == name
        np.testing.assert_array_equal(frames[name].image, picture(value))
    front.close()
    back.close()


def test_a_picture_that_was_taken_before_anybody_listened_is_left_out(server):
    with closing(joined(server)) as camera:
        server.deliver({"front": picture(1), "back": picture(1)})
        server.exposed()
        server.deliver({"front": picture(2), "back": picture(2)})
        assert camera.read().image[0, 0] == 2


def test_what_is_wrong_with_pictures_is_told(server):
    with closing(joined(server, size=(32, 32))) as camera:
        server.exposed()
        server.deliver({"front": picture(1), "back": picture(1)})
        with pytest.raises(CameraError, match="delivers 64 x 48 pixels, not 32 x 32"):
            camera.read()
    with (
        closing(RenderedCamera("other", server.address, SIZE, time.monotonic)) as unknown,
        pytest.raises(CameraError, match="camera 'other' delivers nothing more"),
    ):
        unknown.read()
    camera = joined(server)
    server.close()
    with pytest.raises(CameraError, match="camera 'front' delivers nothing more"):
        camera.read()
    with pytest.raises(CameraError, match="nobody draws pictures"):
        RenderedCamera("front", server.address, SIZE, time.monotonic)


def test_who_has_gone_is_forgotten(server):
    joined(server).close()
    with closing(joined(server, "back")) as back:
        for _ in range(20):
            server.exposed()
            server.deliver({"front": picture(3), "back": picture(3)})
            time.sleep(0.01)
        assert [name for name, _ in server._guests] == ["back"]
        assert back.read().image[0, 0] == 3


def told(pose=POSE):
    return Told(0.0, np.array(pose), np.zeros(6), np.array([HOME] * 2), np.full(2, 0.08))


def drawn(tmp_path, **changes):
    values = {
        "cell": 0, "port": 0, "cameras": "fixed", "size": CUBE.size, "rate": 10.0, "seed": 0,
        "folder": str(tmp_path), "keep": 2,
    }  # fmt: skip
    return Drawing(**{**values, **changes})


@pytest.mark.parametrize(
    ("cameras", "size", "pose"),
    [
        ("fixed", (0.05, 0.06, 0.09), (0.1, 0.2, 0.045, 1.0, 0.0, 0.0, 0.0)),
        ("hands", CUBE.size, (-0.2, 0.0, 0.025, 1.0, 0.0, 0.0, 0.0)),
    ],
)
def test_what_is_drawn_is_seen_where_the_cell_has_it(tmp_path, cameras, size, pose):
    artist = Artist(drawn(tmp_path, cameras=cameras, size=size, seed=4))
    hands = HandPoses.of([HOME] * 2, (0.08, 0.08)).poses
    locator, true = Locator(MarkedBox.fitting(size)), from_pose(pose)
    found, before = [], None
    for _ in range(3):
        pictures = artist.draw(told(pose))
        views = [(each, each.in_world(hands), pictures[each.name]) for each in CAMERAS[cameras]]
        fit = locator.locate(views, true)
        found += [difference(fit.pose, true)] if isinstance(fit, Fit) else []
        name = next(iter(pictures))
        assert before is None or (pictures[name] != before).mean() > 0.2  # never frozen
        before = pictures[name]
    artist.close()
    assert len(found) >= 2
    assert min(np.linalg.norm(step[:3]) for step in found) < 0.003
    kept = sorted(path.name for path in tmp_path.glob("*.png"))
    names = sorted(camera.name for camera in CAMERAS[cameras])
    assert kept == [f"{moment:05}-{name}.png" for moment in (0, 2) for name in names]


def test_from_a_cell_to_the_drivers_estimate(tmp_path):
    """The program, the driver's own options, the cameras' threads and the tracker."""
    cell = ToldCell(speed=0.0)
    port = PictureServer(0, ()).address[1] + 1
    file = tmp_path / "cameras.json"
    measured = Calibrated.now(0.3, 20)
    write_entries(
        file,
        {
            each.name: CameraEntry(each.name, each.lens, measured, each.mount, each.pose, measured)
            for each in FIXED_CAMERAS
        },
    )
    setup = attrs.asdict(drawn(tmp_path, cell=cell.address[1], port=port))
    command = [sys.executable, "-m", drawing.__name__, json.dumps(setup)]
    clock = ArmClock()
    with Program("the program that draws pictures", command, ours=True) as program:
        cameras = f"front@peer:{port};back@peer:{port}"
        source = cube_source(str(file), cameras, HOSTS, clock, 0, CUBE)
        until = time.monotonic() + 20.0
        while time.monotonic() < until:
            estimate = source.tracking.estimate(clock.seconds())
            if estimate.status.usable:
                break
            time.sleep(0.1)
        source.close()
        pictures = Exposures.of(program.events)
    cell.close()
    assert estimate.status.usable, source.error
    assert np.linalg.norm(estimate.pose[:3] - POSE[:3]) < 0.005
    assert pictures.count >= 3 and pictures.rate > 0 and pictures.seconds > 0


def test_exposures_are_counted_by_the_cells_time():
    events = [{"exposed": 2.0 + 0.2 * k, "seconds": 0.4} for k in range(11)]
    assert Exposures.of(events) == Exposures(11, 5.0, 0.4)
    assert Exposures.of([]) == Exposures(0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ("front@peer:;back@peer:14010", "the port must be a number"),
        ("side@peer:14010", "knows the cameras back, front, not side: name one or several"),
    ],
)
def test_cameras_that_cannot_be_are_told(tmp_path, cameras, message):
    file = tmp_path / "cameras.json"
    measured = Calibrated.now(0.3, 20)
    write_entries(
        file,
        {
            name: CameraEntry(name, FIXED_CAMERAS[0].lens, measured, "world", np.eye(4), measured)
            for name in ("front", "back")
        },
    )
    with pytest.raises(UsageError, match=message):
        cube_source(str(file), cameras, HOSTS, ArmClock(), 0, Box())
