"""The stream to the arms: what it sends, and how it ends."""

from __future__ import annotations

import time

import numpy as np
import pytest

from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.stream import Stream, StreamSettings
from tests.hardware.arms.fakes import FakeArm, RampJudge

PERIOD = 0.005


class Running:
    """A stream to two fake arms that are wanted to move all the time."""

    def __init__(self, wanted=0.3, **settings):
        self.arms = [FakeArm("left"), FakeArm("right")]
        self.judge = RampJudge(PERIOD)
        self.wanted = np.full((2, 7), wanted)
        self.stream = Stream(
            self.arms,
            lambda readings: self.wanted,
            self.judge,
            ArmClock(),
            StreamSettings(period=PERIOD, recovering=0.02, **settings),
        )

    def until(self, condition, seconds=3.0):
        given_up = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < given_up, self.stream.failure
            time.sleep(0.002)

    def move(self):
        self.until(lambda: all(arm.sent and arm.sent[-1][0] == 0.3 for arm in self.arms))

    def speeds(self, arm):
        return np.abs(np.array(self.arms[arm].sent)).max(-1)

    def is_a_ramp(self, arm):
        """Whether speeds change no faster than the judge lets them."""
        return self.arms[arm].steps(PERIOD).max() <= self.judge.step + 1e-12


@pytest.fixture
def running():
    made = Running()
    yield made
    made.stream.stop("the test is over")
    assert made.stream.join(2.0)


def test_both_arms_get_a_command_each_period(running):
    running.move()
    running.stream.stop("enough")
    assert running.stream.join(1.0)
    tally = running.stream.tally()
    assert tally.periods > 15
    for arm in running.arms:
        assert 0.8 * tally.periods <= len(arm.sent) <= tally.periods + 1
        assert np.median(np.diff(arm.times)) == pytest.approx(PERIOD, rel=0.5)


def test_a_stop_is_a_ramp_and_ends_at_rest(running):
    running.move()
    asked = time.monotonic()
    running.stream.stop("enough")
    assert running.stream.join(1.0)
    for number, arm in enumerate(running.arms):
        assert arm.closed
        assert not arm.sent[-1].any()
        assert arm.times[-1] - asked < 0.2
        assert running.is_a_ramp(number)
    assert running.stream.failure is None


def test_lost_connection_to_one_arm_stops_the_other(running):
    running.move()
    lost = time.monotonic()
    running.arms[0].gone = True
    assert running.stream.join(2.0)
    assert "left arm: the connection is lost" in running.stream.failure
    assert "cable" in running.stream.failure
    assert not running.arms[1].sent[-1].any()
    assert running.arms[1].times[-1] - lost < 0.2
    assert running.is_a_ramp(1)


def test_an_arm_that_says_nothing_new_counts_as_lost(running):
    running.move()
    running.arms[1].silent = True
    assert running.stream.join(2.0)
    assert "right arm: nothing was heard for 0.1" in running.stream.failure
    assert not running.arms[0].sent[-1].any()


def test_an_error_is_recovered_from_when_both_arms_stand(running):
    running.move()
    running.arms[0].error = "joint_reflex"
    running.until(lambda: running.stream.recovered == 1)
    assert any("joint_reflex" in reason for reason in running.judge.reasons)
    running.move()
    assert running.stream.failure is None
    # The other arm had come to rest before the error was cleared.
    speeds = running.speeds(1)
    assert (speeds[10:] == 0).any()
    assert running.judge.resets == 2


def test_recovery_that_loops_for_ever_does_not(running):
    """Each recovery works, and the arm runs against the same thing again."""
    arm, recover = running.arms[0], running.arms[0].recover

    def recover_in_vain():
        recover()
        arm.error = "joint_reflex"
        return True

    arm.recover = recover_in_vain
    running.move()
    arm.error = "joint_reflex"
    assert running.stream.join(5.0)
    assert arm.recoveries == 5
    assert "5 errors were recovered from already" in running.stream.failure
    assert "codi franka-recover" in running.stream.failure


def test_an_error_that_cannot_be_cleared_ends_the_run(running):
    running.move()
    running.arms[1].recoverable = False
    running.arms[1].error = "self_collision_avoidance_violation"
    assert running.stream.join(2.0)
    assert "can't be cleared from here" in running.stream.failure
    assert running.arms[1].recoveries == 1


def test_whoever_breaks_while_being_asked_stops_both_arms():
    made = Running()
    made.move()

    def broken(readings):
        raise ValueError("no Jacobian")

    made.stream._wanted = broken
    assert made.stream.join(2.0)
    assert "ValueError: no Jacobian" in made.stream.failure
    assert not any(arm.sent[-1].any() for arm in made.arms)


def test_what_is_not_finite_never_reaches_an_arm():
    made = Running()
    made.wanted = np.full((2, 7), np.nan)
    time.sleep(10 * PERIOD)
    made.stream.stop("enough")
    assert made.stream.join(1.0)
    assert all(np.isfinite(np.array(arm.sent)).all() for arm in made.arms)


def test_an_arm_that_answers_nothing_at_all_is_told_at_once():
    arms = [FakeArm("left"), FakeArm("right")]
    arms[1].gone = True
    with pytest.raises(Exception, match="right arm: the connection is lost"):
        Stream(
            arms, lambda readings: np.zeros((2, 7)), RampJudge(0.01), ArmClock(), StreamSettings()
        )
