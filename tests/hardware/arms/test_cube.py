"""The cube's pose from a simulated cell, with a tracker's errors."""

from __future__ import annotations

import json
import socket
import threading
import time

import numpy as np
import pytest

from codi_core.errors import PlantError
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.cube import Hands, PeerCube
from codi_franka.vision.estimate import CubeStatus

pytest.importorskip("scipy", reason="needs codi-franka[vision]")
from codi_franka.vision.measured import MeasuredErrors

HANDS = Hands(np.zeros((2, 3)), np.zeros((2, 3, 3)), np.full(2, 0.08), np.zeros(2, bool))
POSE = (0.1, 0.2, 0.025, 1.0, 0.0, 0.0, 0.0)


def errors(**changes):
    """Both cameras see markers, whenever they look, unless it is said otherwise."""
    return MeasuredErrors(**{"alone": 0.0, "dropouts": 0.0} | changes)


class Cell:
    """Tells 200 times a second where a cube is that moves along x."""

    def __init__(self):
        self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.link.bind(("127.0.0.1", 0))
        self.address = self.link.getsockname()
        self.telling, self.began = True, time.monotonic()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        listener = self.link.recvfrom(100)[1]
        while self.telling:
            now = time.monotonic() - self.began
            told = {"time": now, "pose": [0.1 * now, *POSE[1:]], "twist": [0.1, 0, 0, 0, 0, 0]}
            self.link.sendto(json.dumps(told).encode(), listener)
            time.sleep(0.005)


@pytest.fixture
def cell():
    made = Cell()
    yield made
    made.telling = False


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
