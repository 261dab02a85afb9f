"""The arms' seconds."""

from __future__ import annotations

import pytest

from codi_franka.hardware.clock import ArmClock


class Real:
    def __init__(self):
        self.now = 100.0

    def seconds(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_with_real_arms_it_is_real_time():
    real = Real()
    clock = ArmClock(1.0, real.seconds, real.sleep)
    clock.follow(lambda: 0.0)
    assert clock.seconds() == 100.0
    clock.sleep(0.5)
    assert clock.seconds() == 100.5


def test_it_follows_what_simulated_arms_tell():
    real, told = Real(), [7.0]
    clock = ArmClock(2.0, real.seconds, real.sleep)
    clock.follow(lambda: told[0])
    assert clock.seconds() == pytest.approx(0.0)
    real.now += 0.01
    assert clock.seconds() == pytest.approx(0.005)
    real.now += 0.5  # nothing was told: it waits
    assert clock.seconds() == pytest.approx(0.02)
    told[0] = 7.3
    assert clock.seconds() == pytest.approx(0.3)


def test_the_arm_that_is_ahead_counts():
    real, told = Real(), [7.0, 1.0]
    clock = ArmClock(2.0, real.seconds, real.sleep)
    clock.follow(lambda: told[0])
    clock.follow(lambda: told[1])
    told[1] = 1.4  # the other one is gone
    assert clock.seconds() == pytest.approx(0.4)


def test_it_never_goes_back():
    real, told = Real(), [7.0]
    clock = ArmClock(2.0, real.seconds, real.sleep)
    clock.follow(lambda: told[0])
    real.now += 0.03
    before = clock.seconds()
    told[0] = 0.0  # the arm was switched off and on
    assert clock.seconds() == before
    told[0] = 7.001
    assert clock.seconds() >= before


def test_it_runs_by_itself_when_all_arms_are_gone():
    real = Real()
    clock = ArmClock(2.0, real.seconds, real.sleep)
    clock.follow(lambda: 7.0)
    clock.sleep(0.2)  # ends
    assert clock.seconds() == pytest.approx(0.2, abs=0.01)


def test_without_arms_it_runs_by_itself_and_does_not_jump_when_they_come_or_go():
    real, told = Real(), [7.0]
    clock = ArmClock(2.0, real.seconds, real.sleep)
    real.now += 0.5
    assert clock.seconds() == pytest.approx(0.25)

    def tell():
        return told[0]

    clock.follow(tell)
    assert clock.seconds() == pytest.approx(0.25)
    real.now, told[0] = real.now + 0.6, 7.1  # slower than it was said to be
    assert clock.seconds() == pytest.approx(0.35)
    clock.leave(tell)
    assert clock.seconds() == pytest.approx(0.35)
    real.now, told[0] = real.now + 0.4, 9.0
    assert clock.seconds() == pytest.approx(0.55)
