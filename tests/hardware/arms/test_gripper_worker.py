"""A hand's worker: one command at a time, and nobody waits for it."""

from __future__ import annotations

import time

import pytest

from codi_franka.hardware.arms import gripper_worker
from codi_franka.hardware.arms.gripper_worker import CLOSE_BELOW, LATCH, OPEN_ABOVE, GripperWorker
from codi_franka.hardware.clock import ArmClock
from tests.hardware.arms.fakes import FakeHand


class Time(ArmClock):
    """Goes faster than real time."""

    def __init__(self, factor=10.0):
        super().__init__()
        self.factor = factor

    def seconds(self):
        return time.monotonic() * self.factor


@pytest.fixture
def hand():
    return FakeHand()


@pytest.fixture
def worker(hand):
    made = GripperWorker("left", hand, Time())
    yield made
    hand.stuck.clear()
    hand.mute.clear()
    made.close()


def until(condition, seconds=3.0):
    given_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < given_up
        time.sleep(0.002)


def test_it_closes_and_opens_at_commanded_widths(worker, hand):
    worker.want(0.0)
    until(lambda: hand.told == ["close"])
    assert worker.look().closing
    time.sleep(LATCH / 10)
    worker.want(0.08)
    until(lambda: hand.told == ["close", "open"])
    until(lambda: worker.width() == 0.08)


def test_widths_between_the_thresholds_change_nothing(worker, hand):
    worker.want(0.0)
    time.sleep(LATCH / 10)
    for width in (CLOSE_BELOW + 1e-6, OPEN_ABOVE - 1e-6, 0.04):
        worker.want(width)
    time.sleep(0.1)
    assert hand.told == ["close"]


def test_a_wavering_command_is_latched(worker, hand):
    for _ in range(20):
        worker.want(0.0)
        worker.want(0.08)
    time.sleep(0.1)
    assert hand.told == ["close"]


def test_an_asynchronous_gripper_call_does_not_block_the_stream(worker, hand):
    hand.seconds = 0.5
    began = time.perf_counter()
    for _ in range(100):
        worker.want(0.0)
        worker.width()
        worker.look()
    assert time.perf_counter() - began < 0.1


def test_commands_never_overlap(worker, hand):
    hand.seconds = 0.1
    for number in range(30):
        worker.want(0.0 if number % 2 else 0.08)
        time.sleep(0.01)
    until(lambda: worker.look().busy_for == 0)
    assert hand.overlaps == 0
    assert len(hand.told) >= 2


def test_a_gripper_that_never_answers_is_noticed(worker, hand):
    hand.stuck.set()
    worker.want(0.0)
    until(lambda: worker.trouble is not None)
    assert "the left hand has not finished a command" in worker.trouble
    began = time.perf_counter()
    worker.close()
    assert time.perf_counter() - began < 1.5


def test_a_gripper_that_tells_no_width_is_noticed(worker, hand):
    until(lambda: worker.look().reading is not None)
    hand.mute.set()
    until(lambda: worker.trouble is not None)
    assert "has not told its width" in worker.trouble


def test_a_command_that_fails_is_counted_and_not_repeated(worker, hand, monkeypatch):
    def refuse():
        raise RuntimeError("command rejected")

    monkeypatch.setattr(gripper_worker, "READ_PERIOD", 0.01)
    hand.close_on_object = refuse
    worker.want(0.0)
    until(lambda: worker.look().failures == 1)
    time.sleep(0.05)
    assert worker.look().failures == 1
