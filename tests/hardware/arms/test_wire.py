"""The checker at the wire finds what it is there for, and shares no numbers with what it checks."""

from __future__ import annotations

import numpy as np
import pytest

from codi_franka.hardware.bench.wire import check_commands, read_commands
from codi_franka.hardware.motion.limits import PUBLISHED
from codi_franka.hardware.trials.judge import ACCELERATION, JERK, SPEED
from codi_franka.robot.controller import HOME

JOINT = 3


def record(velocity, position=HOME, messages=None):
    """Rows of commands for one joint's velocities (T,) [rad/s] at one position."""
    rows = np.zeros((len(velocity), 17))
    rows[:, 1] = np.arange(len(velocity)) if messages is None else messages
    rows[:, 3 + JOINT] = velocity
    rows[:, 10:] = position
    return rows


def smooth(speed=1.0, seconds=0.6):
    """A ramp to a speed whose acceleration is a sine's half."""
    time = np.arange(0.0, seconds, 0.001)
    return speed * (1 - np.cos(np.pi * time / seconds)) / 2


def test_smooth_motions_pass():
    report = check_commands(record(smooth()))
    assert report.violations == report.missing == 0
    assert report.commands == 600
    assert 0.3 < report.highest[0] < 0.5


def test_a_step_in_the_velocity_is_found_and_a_ramp_is_not():
    velocity = smooth()
    velocity[300:] += 0.02
    report = check_commands(record(velocity))
    assert report.acceleration == 1
    assert report.jerk >= 1
    assert check_commands(record(np.linspace(0.0, 0.9 * JERK * 1e-6, 2))).jerk == 0


def test_an_acceleration_discontinuity_is_found():
    time = np.arange(0.0, 0.2, 0.001)
    velocity = np.where(time < 0.1, 0.0, 8.0 * (time - 0.1))
    report = check_commands(record(velocity))
    assert (report.acceleration, report.jerk) == (0, 1)


def test_speeds_are_judged_by_the_position():
    fast = 0.9 * SPEED[JOINT] * np.ones(1)
    at_limit = np.array(HOME)
    at_limit[JOINT] = -0.16  # 0.01 rad before the end
    assert check_commands(record(fast)).velocity == 0
    assert check_commands(record(fast, at_limit)).velocity == 1
    assert check_commands(record(-fast, at_limit)).velocity == 0  # away from it


def test_positions_beyond_a_limit_are_found():
    beyond = np.array(HOME)
    beyond[JOINT] = -0.15
    assert check_commands(record(np.zeros(3), beyond)).position == 3


def test_missing_messages_are_counted_and_accounted_for():
    velocity, messages = smooth(), np.arange(600)
    kept = np.delete(np.arange(600), slice(200, 203))
    report = check_commands(record(velocity[kept], messages=messages[kept]))
    assert report.missing == 3
    assert report.violations == 0


def test_a_turn_of_the_acceleration_while_messages_are_missing_is_no_violation():
    """From -6 to 0 rad/s² within jerk's limit, at the end of ten messages that are missing."""
    time = np.arange(0.0, 0.2, 0.001)
    acceleration = np.clip(-6.0 + 0.8 * JERK * (time - 0.0985), -6.0, 0.0)
    acceleration[:40] = np.maximum(acceleration[:40], -0.5 * JERK * time[:40])
    velocity = np.cumsum(acceleration) * 0.001
    assert check_commands(record(velocity)).violations == 0
    kept = np.delete(np.arange(200), slice(90, 100))
    report = check_commands(record(velocity[kept], messages=kept))
    assert (report.missing, report.violations) == (10, 0)
    velocity[101:] += 0.02
    report = check_commands(record(velocity[kept], messages=kept))
    assert report.acceleration == 1


def test_a_motion_that_goes_on_after_a_long_silence_has_not_started_anew():
    velocity = np.full(200, 0.4)
    velocity[:100] = smooth(0.4, 0.1)
    kept = np.delete(np.arange(200), slice(110, 180))
    assert check_commands(record(velocity[kept], messages=kept)).violations == 0
    velocity[100:180] = 0.0
    kept = np.delete(np.arange(200), slice(102, 180))
    assert check_commands(record(velocity[kept], messages=kept)).acceleration > 0  # from rest


def test_a_record_that_was_cut_off_can_be_read(tmp_path):
    path = tmp_path / "commands.f64"
    path.write_bytes(record(smooth()).tobytes()[:-50])
    assert len(read_commands(path)) == 599


def test_its_numbers_agree_with_those_that_commands_are_made_by():
    """They were written down twice, from the same page."""
    assert pytest.approx(PUBLISHED.speed) == SPEED
    assert (PUBLISHED.acceleration, PUBLISHED.jerk) == (ACCELERATION, JERK)
