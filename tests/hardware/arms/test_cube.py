"""The cube's pose from a simulated cell, with a tracker's errors."""

from __future__ import annotations

import time

import numpy as np
import pytest

from codi_core.errors import PlantError
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.cube import Hands, PeerCube
from codi_franka.hardware.simulated_cell import Newest, Witness
from codi_franka.robot.box import Box
from codi_franka.vision.estimate import CubeEstimate, CubeStatus
from tests.hardware.arms.told_cell import POSE, SPEED, ToldCell

pytest.importorskip("scipy", reason="needs codi-franka[vision]")
from codi_franka.vision.measured import MeasuredErrors

HANDS = Hands(np.zeros((2, 3)), np.zeros((2, 3, 3)), np.full(2, 0.08), np.zeros(2, bool))


def errors(**changes):
    """Both cameras see markers, whenever they look, unless it is said otherwise."""
    return MeasuredErrors(**{"alone": 0.0, "dropouts": 0.0} | changes)


@pytest.fixture
def cell():
    made = ToldCell(pose=(0.0, *POSE[1:]))
    yield made
    made.close()


def test_the_error_is_as_large_as_it_is_said_to_be(cell):
    error = errors(position=0.002, rotation=0.02, delay=0.02, period=0.005)
    cube = PeerCube(cell.address, error, ArmClock())
    poses = []
    for _ in range(150):
        time.sleep(0.006)
        estimate = cube.estimate(time.monotonic(), HANDS)
        assert estimate.status is CubeStatus.SEEN
        poses.append(estimate.pose)
        assert np.linalg.norm(estimate.pose[3:]) == pytest.approx(1.0)
    cube.close()
    spread = np.std(np.array(poses)[:, 1])
    assert 0.0014 < spread < 0.0026
    assert 0.012 / 2 < np.std(np.array(poses)[:, 4]) < 0.03 / 2  # half of the angle
    assert estimate.covariance[0, 0] == pytest.approx(0.002**2)


def test_it_is_late_and_continued(cell):
    error = errors(position=0.0, rotation=0.0, delay=0.05, period=0.01)
    cube = PeerCube(cell.address, error, ArmClock())
    time.sleep(0.3)
    now = time.monotonic()
    estimate = cube.estimate(now, HANDS)
    assert 0.045 < now - estimate.time < 0.15
    assert estimate.pose[0] == pytest.approx(0.1 * (now - cell.began), abs=0.003)
    cube.close()


def test_dropouts_are_missing(cell):
    error = errors(delay=0.0, period=0.0, dropouts=0.9)
    cube = PeerCube(cell.address, error, ArmClock(), seed=2)
    ages = []
    for _ in range(60):
        time.sleep(0.005)
        now = time.monotonic()
        ages.append(now - cube.estimate(now, HANDS).time)
    cube.close()
    assert max(ages) > 0.02


def test_silence_is_said_to_be_stale(cell, monkeypatch):
    monkeypatch.setattr("codi_franka.hardware.cube.STALE", 0.1)
    monkeypatch.setattr("codi_franka.hardware.cube.GONE", 0.3)
    cube = PeerCube(cell.address, errors(delay=0.0), ArmClock())
    cell.telling = False
    time.sleep(0.15)
    assert cube.estimate(time.monotonic(), HANDS).status is CubeStatus.STALE
    time.sleep(0.25)
    assert cube.estimate(time.monotonic(), HANDS).status is CubeStatus.LOST
    cube.close()


def test_a_cell_that_is_not_there_is_told_with_a_remedy():
    with pytest.raises(PlantError, match=r"nobody tells where the cube is at 127\.0\.0\.1:9"):
        PeerCube(("127.0.0.1", 9), MeasuredErrors(), ArmClock())


def falling(pose, box):
    """Where a cube is said to be that fell from there a while ago."""
    cell = ToldCell(0.0, pose)
    cube = PeerCube(cell.address, errors(position=0.0, rotation=0.0), ArmClock(), box=box)
    cube._seen.twist[2] = -1.0
    cell.close()
    time.sleep(0.2)
    height = cube.estimate(time.monotonic(), HANDS).pose[2]
    cube.close()
    return height


def test_the_table_stops_what_falls_on_the_face_that_is_nearest_to_it():
    box = Box((0.05, 0.06, 0.09))
    upright, lying = (1.0, 0.0, 0.0, 0.0), (np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0)
    assert falling((0, 0, 0.1, *upright), box) == pytest.approx(0.045)
    assert falling((0, 0, 0.1, *lying), box) == pytest.approx(0.03)


def test_a_witness_says_how_far_an_estimate_is_from_the_cube(cell):
    witness, clock = Witness(cell.address, ArmClock()), ArmClock()
    time.sleep(0.1)
    now = clock.seconds()
    turned = (np.cos(0.05), 0.0, 0.0, np.sin(0.05))
    pose = np.array([SPEED * (time.monotonic() - cell.began), 0.2, 0.028, *turned])
    estimate = CubeEstimate(now, pose, np.zeros(6), np.zeros((6, 6)), CubeStatus.SEEN)
    events = witness.events(estimate, now)
    assert events["cube_error_m"] == pytest.approx(0.003, abs=0.0015)
    assert events["cube_error_rad"] == pytest.approx(0.1)
    assert events["cell_time_s"] == pytest.approx(time.monotonic() - cell.began, abs=0.05)
    assert not witness.over
    cell.over = True
    time.sleep(0.1)
    assert witness.over
    witness.close()


def test_what_a_cell_will_tell_can_be_waited_for(cell):
    with Newest(cell.address, ArmClock()) as newest:
        later = newest.look()[1].time + 0.1
        told = newest.wait(later)
        assert later <= told.time < later + 0.1
        assert told.joints.shape == (2, 7) and told.widths.tolist() == [0.08, 0.08]
        cell.close()
        assert newest.wait(told.time + 60.0, patience=0.1) is None
