import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import UsageError
from codi_franka.hardware.motion.limits import (
    PUBLISHED,
    Margins,
    MotionLimits,
    stoppable_speed,
    stopping_time,
)
from codi_franka.hardware.trials import judge


@given(st.lists(st.floats(-3.2, 4.7), min_size=7, max_size=7))
def test_velocity_limits_are_those_that_were_typed_in_a_second_time(angles):
    here = np.array(angles)
    for ours, theirs in zip(
        PUBLISHED.velocity_bounds(here), judge.velocity_limits(here), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_published_velocity_limits_at_some_places():
    lower, upper = PUBLISHED.velocity_bounds(np.array([0.0, 1.7, 2.9, -0.1458, 2.0, 0.6, 0.0]))
    assert upper[0] == 2.62
    assert upper[1] == pytest.approx(-0.2 + np.sqrt(5.17 * 0.0918))
    assert upper[2] == pytest.approx(-0.2 + np.sqrt(7.0 * 0.0065))
    assert upper[3] == 0.0
    assert upper[4] == pytest.approx(-0.35 + np.sqrt(34.0 * 0.8101))
    assert lower[5] == pytest.approx(0.35 - np.sqrt(11.0 * 0.05908))
    assert lower[6] == -5.26


def test_the_published_speeds_allow_no_stop_within_three_tenths_of_a_second():
    """Without any margin joints 5 to 7 need 0.42 to 0.53 s; joints 1 to 4 make it."""
    times = [
        stopping_time(speed, 0.0, PUBLISHED.acceleration, PUBLISHED.jerk)
        for speed in PUBLISHED.speed
    ]
    np.testing.assert_allclose(times, [0.264] * 4 + [0.528, 0.420, 0.528], atol=1e-3)


@pytest.mark.parametrize(
    ("period", "normal", "full"), [(0.001, 1.748, 2.648), (0.005, 1.54, 2.44), (0.01, 1.28, 2.18)]
)
def test_speeds_from_which_arms_stop_in_time(period, normal, full):
    for seconds, expected in ((0.2, normal), (0.3, full)):
        limits = MotionLimits.of(period, seconds)
        most = np.minimum(0.9 * PUBLISHED.speed, expected)
        np.testing.assert_allclose(limits.joints.speed, most, atol=1e-3)
        stoppable = stoppable_speed(
            seconds, period, limits.acceleration, limits.braking, limits.step
        )
        time = stopping_time(stoppable, limits.acceleration, limits.braking, limits.jerk, period)
        assert time == pytest.approx(seconds)


def test_a_first_run_takes_a_tenth_of_the_speed():
    slow, usual = MotionLimits.of(0.005, 0.2, speed=0.1), MotionLimits.of(0.005, 0.2)
    np.testing.assert_allclose(slow.joints.speed, 0.1 * usual.joints.speed)
    assert slow.braking == usual.braking


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Margins(speed=1.1), "speed is a share above 0"),
        (lambda: Margins(jerk=0.0), "jerk is a share above 0"),
        (lambda: Margins(position=-0.1), "from 0 to 0.5 rad"),
        (lambda: Margins(braking=0.5), "brake as hard as it accelerates"),
        (lambda: MotionLimits.of(0.05, 0.2), "from 1 to 20 ms, not 50 ms"),
        (lambda: MotionLimits.of(0.005, 0.2, speed=0.0), "a speed is a share"),
        (lambda: MotionLimits.of(0.02, 0.1), "allow them longer, or send more often"),
    ],
)
def test_impossible_limits_are_refused(make, words):
    with pytest.raises(UsageError, match=words):
        make()
