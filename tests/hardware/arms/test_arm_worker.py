"""Arms whose calls wait: what becomes of the other one."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from codi_franka.hardware.arms import arm_worker
from codi_franka.hardware.arms.arm_worker import ArmWorker
from codi_franka.hardware.arms.link import ArmError
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.stream import Stream, StreamSettings
from tests.hardware.arms.fakes import FakeArm, RampJudge

PERIOD = 0.005


class WaitingArm(FakeArm):
    """The calls that are named in ``waiting`` don't return before they are let go on."""

    def __init__(self, name):
        super().__init__(name)
        self.waiting, self.go_on = set(), threading.Event()

    def read(self, now):
        self._wait("read")
        return super().read(now)

    def send(self, velocity):
        self._wait("send")
        super().send(velocity)

    def recover(self):
        self._wait("recover")
        return super().recover()

    def _wait(self, call):
        if call in self.waiting:
            self.go_on.wait(10.0)


class Running:
    """A stream to a left arm that can be made to wait, and to a right one that is well."""

    def __init__(self, **settings):
        self.left, self.right = self.arms = [WaitingArm("left"), FakeArm("right")]
        self.judge = RampJudge(PERIOD)
        self.stream = Stream(
            self.arms,
            lambda readings: np.full((2, 7), 0.3),
            self.judge,
            ArmClock(),
            StreamSettings(period=PERIOD, recovering=0.02, **settings),
        )
        self.until(lambda: all(arm.sent and arm.sent[-1][0] == 0.3 for arm in self.arms))

    def until(self, condition, seconds=3.0):
        given_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < given_up, self.stream.failure
            time.sleep(0.002)

    def right_after(self, moment):
        """Speeds of the right arm, and when they were sent, from a moment on."""
        count = len(self.right.times)
        times, sent = np.array(self.right.times[:count]), np.array(self.right.sent[:count])
        return np.abs(sent[times > moment]).max(-1), times[times > moment]


@pytest.fixture
def running():
    made = Running(clearing=0.2)
    yield made
    made.left.go_on.set()
    made.stream.stop("the test is over")
    assert made.stream.join(3.0)


def is_a_ramp_to_rest(running, moment):
    speeds, _ = running.right_after(moment)
    return not speeds[-1] and running.right.steps(PERIOD).max() <= running.judge.step + 1e-12


@pytest.mark.parametrize("calls", [{"read"}, {"read", "send"}])
def test_an_arm_that_holds_up_who_reads_it_holds_up_nobody_else(running, calls):
    blocked = time.monotonic()
    running.left.waiting = calls
    running.until(lambda: running.stream.failure is not None)
    noticed = time.monotonic() - blocked
    running.until(lambda: running.judge.at_rest)
    assert 0.14 < noticed < 0.25
    assert "left arm: nothing was heard for 0.1" in running.stream.failure
    time.sleep(4 * PERIOD)
    _, times = running.right_after(blocked)
    assert np.diff(times).max() < 0.05  # the right arm was sent commands all the time
    assert is_a_ramp_to_rest(running, blocked)
    assert times[-1] - blocked < 0.4


def test_an_arm_that_takes_no_commands_stops_both_and_may_come_back(running):
    blocked = time.monotonic()
    running.left.waiting = {"send"}
    running.until(lambda: running.judge.stopping)
    assert 0.1 < time.monotonic() - blocked < 0.2
    assert running.judge.reasons[0].startswith("left arm: no command was taken for 0.1")
    running.until(lambda: running.judge.at_rest)
    time.sleep(4 * PERIOD)
    assert is_a_ramp_to_rest(running, blocked)
    running.left.waiting = set()
    running.left.go_on.set()
    running.until(lambda: running.stream.recovered == 1)
    running.until(lambda: running.left.sent[-1][0] == 0.3)
    assert running.stream.failure is None


def test_the_other_arm_is_held_still_while_an_error_is_cleared(running):
    running.left.waiting = {"recover"}
    running.left.error = "joint_reflex"
    running.until(lambda: running.stream.failure is not None)
    assert "joint_reflex; the error can't be cleared from here" in running.stream.failure
    speeds, times = running.right_after(0.0)
    still = times[-1] - times[np.flatnonzero(speeds)[-1]]
    assert still > 0.2
    assert np.diff(times).max() < 0.05


@pytest.fixture
def worker():
    made = ArmWorker(FakeArm("left"), ArmClock())
    made.start()
    yield made
    made.close()


def until(condition):
    given_up = time.monotonic() + 2.0
    while not condition():
        assert time.monotonic() < given_up
        time.sleep(0.001)


def test_readings_are_as_new_as_that(worker):
    for _ in range(20):
        time.sleep(0.003)
        assert time.monotonic() - worker.read().time < 0.05
    worker._link.gone = True
    with pytest.raises(ArmError, match="left arm: the connection is lost"):
        until(lambda: worker.read() is None)


def test_a_refused_command_is_told_until_the_error_is_cleared(worker):
    worker._link.error = "joint_reflex"
    worker.send(np.zeros(7))
    with pytest.raises(ArmError, match="left arm: joint_reflex"):
        until(lambda: worker.send(np.zeros(7)))
    assert worker.recover() is None
    until(lambda: worker.recover())
    worker.send(np.full(7, 0.1))
    until(lambda: len(worker._link.sent) == 1)
    assert worker._link.sent[0].tolist() == [0.1] * 7


def test_the_last_command_is_sent_before_the_arm_is_left(worker):
    worker.send(np.full(7, 0.1))
    worker.close()
    assert worker._link.sent[-1].tolist() == [0.1] * 7
    assert worker._link.closed
    assert not any(thread.is_alive() for thread in worker._threads)


def test_nobody_waits_for_an_arm_that_is_abandoned(monkeypatch):
    monkeypatch.setattr(arm_worker, "LEAVING", 5.0)
    arm = WaitingArm("left")
    worker = ArmWorker(arm, ArmClock())
    worker.start()
    arm.waiting = {"read", "send"}
    worker.send(np.zeros(7))
    worker.abandon()
    began = time.monotonic()
    worker.close()
    assert time.monotonic() - began < 0.5
    arm.go_on.set()
    until(lambda: not any(thread.is_alive() for thread in worker._threads))
    assert arm.closed  # its library's thread must have ended before the program does
