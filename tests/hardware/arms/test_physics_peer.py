"""Two simulated arms over the real protocol: what arrives at the wire, what goes wrong there."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from codi_core.errors import CodiError
from codi_franka.hardware.arms.franky_links import ArmSettings, FrankyArm
from codi_franka.hardware.bench.peers import peer as start
from codi_franka.hardware.bench.runs import peer_setup
from codi_franka.hardware.bench.wire import check_commands, read_commands
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.driver import PEER_PORT, connect
from codi_franka.hardware.safety.layer import SafetyLayer
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.stream import Stream, StreamSettings

pytest.importorskip("franky", reason="needs codi-franka[hardware]")
pytestmark = pytest.mark.slow

HOSTS = {"left": "127.0.0.1", "right": "127.0.0.2"}
SLOWDOWN = 3.0


@pytest.fixture
def peer(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", PEER_PORT))
        except OSError:
            pytest.skip("simulated arms run here already")
    try:
        made = start("physics", "physics.py", peer_setup(0, SLOWDOWN, tmp_path, person=False))
    except CodiError as error:
        pytest.skip(str(error))
    with made:
        yield tmp_path


class Running:
    """A stream to both arms; ``wanted`` may be changed while it runs."""

    def __init__(self, opened):
        self.clock, settings = ArmClock(SLOWDOWN), SafetySettings(stop_seconds=0.17)
        self.arms, self.hands = connect(HOSTS, self.clock, settings, opened)
        self.wanted = np.zeros((2, 7))
        judge = SafetyLayer(settings, 0.01)
        self.late = lambda: 0.0
        self.stream = Stream(self.arms, self._answer, judge, self.clock, StreamSettings())

    def _answer(self, readings):
        self.clock.sleep(self.late())
        return self.wanted

    def want(self, speed, seconds):
        self.wanted = np.full((2, 7), 0.0)
        self.wanted[:, 0] = speed
        self.clock.sleep(seconds)

    def end(self):
        self.stream.stop("the test is over")
        assert self.stream.join(3.0)


def wire(folder, arm):
    """What arrived at an arm, once all of it was written."""
    time.sleep(0.3)
    rows = read_commands(folder / f"commands-{arm}.f64")
    return rows, check_commands(rows)


def order(**what):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(json.dumps(what).encode(), ("127.0.0.1", PEER_PORT))


def test_steps_in_the_commands_are_ramps_at_the_wire(peer):
    """A step in the commanded velocity aborts an arm, a ramp does not."""
    with ExitStack() as opened:
        running = Running(opened)
        for speed in (0.5, -0.5, 0.8, 0.0, 0.3):
            running.want(speed, 0.4)
        tally = running.stream.tally()
        running.end()
    assert running.stream.failure is None
    assert tally.longest_gap < 0.1
    for arm in (0, 1):
        rows, report = wire(peer, arm)
        assert report.commands > 1500
        assert report.violations == 0, report
        assert rows[:, 3].max() > 0.7
        assert abs(rows[-1, 3]) < 0.05


def test_a_stream_that_is_late_makes_no_command_jump(peer):
    """A third of the periods is late by up to 90 ms, and what is wanted has steps."""
    random = np.random.default_rng(0)
    with ExitStack() as opened:
        running = Running(opened)
        running.late = lambda: random.uniform(0.01, 0.09) if random.random() < 0.3 else 0.0
        for speed in (0.5, -0.5, 0.8, -0.3, 0.6):
            running.want(speed, 0.5)
        tally = running.stream.tally()
        running.end()
    assert running.stream.failure is None
    assert tally.longest_gap > 0.06
    for arm in (0, 1):
        report = wire(peer, arm)[1]
        assert report.commands > 1500
        assert report.violations == 0, report


def test_the_first_arm_does_not_jerk_when_a_second_one_starts(peer):
    clock, settings = ArmClock(SLOWDOWN), ArmSettings(realtime=False)
    left = FrankyArm("left", HOSTS["left"], settings)
    moving = threading.Event()

    def move():
        for period in range(150):
            left.send(np.array([0.4 * min(1.0, period / 50), 0, 0, 0, 0, 0, 0]))
            if period == 75:
                moving.set()
            clock.sleep(0.01)
        left.close()

    thread = threading.Thread(target=move)
    thread.start()
    assert moving.wait(20.0)
    FrankyArm("right", HOSTS["right"], settings).close()
    thread.join()
    rows, report = wire(peer, 0)
    assert report.violations == 0, report
    assert rows[:, 3].max() == pytest.approx(0.4, abs=0.02)


def test_a_hand_that_moves_does_not_hold_up_the_stream(peer):
    with ExitStack() as opened:
        running = Running(opened)
        running.want(0.2, 0.3)
        running.stream.tally()
        for hand in running.hands:
            hand.want(0.0)
        running.want(-0.2, 1.0)
        busy = [hand.look() for hand in running.hands]
        tally = running.stream.tally()
        running.end()
    assert tally.longest_gap < 0.1
    assert all(now.closing for now in busy)
    assert all(now.reading.width < 0.04 for now in busy)
    assert all(wire(peer, arm)[1].violations == 0 for arm in (0, 1))


def test_an_arm_that_can_not_be_reached_any_more_stops_the_other(peer):
    with ExitStack() as opened:
        running = Running(opened)
        running.want(0.4, 0.5)
        order(deaf=0, ticks=20000)
        assert running.stream.join(5.0)
    assert "left arm: " in running.stream.failure
    rows, report = wire(peer, 1)
    assert report.violations == 0, report
    assert np.abs(rows[-1, 3:10]).max() < 0.02


def test_a_planner_on_the_same_processors_does_not_starve_the_stream(peer):
    """Two threads that reckon all the time; planners are in other processes even."""
    done = threading.Event()

    def reckon():
        while not done.is_set():
            np.linalg.svd(np.random.default_rng(0).normal(size=(120, 120)))

    threads = [threading.Thread(target=reckon, daemon=True) for _ in range(2)]
    with ExitStack() as opened:
        running = Running(opened)
        for thread in threads:
            thread.start()
        running.want(0.4, 1.0)
        tally = running.stream.tally()
        done.set()
        running.end()
    assert running.stream.failure is None
    assert tally.longest_gap < 0.15
    assert all(wire(peer, arm)[1].violations == 0 for arm in (0, 1))
