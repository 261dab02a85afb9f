import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_franka.hardware.motion.limits import PUBLISHED, MotionLimits
from codi_franka.hardware.motion.shaping import Motion, Shaper
from codi_franka.hardware.trials import judge
from codi_franka.robot.controller import HOME

PERIODS = st.sampled_from([0.001, 0.002, 0.005, 0.01])
STOPS = st.sampled_from([0.2, 0.3])
SEEDS = st.integers(0, 2**32 - 1)


def shaped(shaper, start, wanted):
    """Velocities (T, ..., 7) from wanted ones, and the last motion."""
    motion, velocities = Motion.at_rest(start), []
    for each in wanted:
        motion = shaper.towards(motion, each)
        velocities.append(motion.velocity)
    return np.array(velocities), motion


def brought_to_rest(shaper, motion, count):
    """Velocities on the way, and after each the motion."""
    motions = []
    for _ in range(count):
        motion = shaper.to_rest(motion)
        motions.append(motion)
    return np.array([each.velocity for each in motions]), motions


def some_start(rng, limits, *shape):
    return rng.uniform(limits.joints.lowest, limits.joints.highest, (*shape, 7))


def some_wishes(rng, count, *shape):
    """Wanted velocities that jump, stay, flip and grow without any sense."""
    wishes = rng.normal(0.0, 3.0, (count, *shape, 7)) * 10.0 ** rng.uniform(-2, 2, (*shape, 1))
    hold = rng.integers(1, 40, shape)
    rows = np.arange(count).reshape(-1, *[1] * len(shape)) // hold * hold
    held = np.take_along_axis(wishes, rows[..., None], 0)
    return np.where(rng.random((*shape, 1)) < 0.3, np.sign(held) * 5.0, held)


@given(PERIODS, STOPS, SEEDS)
@settings(max_examples=12, deadline=None)
def test_published_limits_are_never_exceeded_whatever_is_wanted(period, stop, seed):
    rng = np.random.default_rng(seed)
    shaper = Shaper(MotionLimits.of(period, stop))
    start = some_start(rng, shaper.limits, 30)
    moving, motion = shaped(shaper, start, some_wishes(rng, round(0.5 / period), 30))
    stopping, _ = brought_to_rest(shaper, motion, round(stop / period))
    sent = judge.ramps(np.concatenate((moving, stopping)), period)
    assert judge.violations(start, sent) == judge.NONE


@given(PERIODS, STOPS, SEEDS)
@settings(max_examples=12, deadline=None)
def test_it_comes_to_rest_in_time_from_any_motion_and_before_any_position_limit(period, stop, seed):
    rng = np.random.default_rng(seed)
    shaper = Shaper(MotionLimits.of(period, stop))
    start = some_start(rng, shaper.limits, 30)
    _, motion = shaped(shaper, start, some_wishes(rng, round(0.4 / period), 30))
    velocities, motions = brought_to_rest(shaper, motion, int(stop / period + 1e-9))
    assert motions[-1].resting
    assert not velocities[-1].any()
    assert (motions[-1].position <= shaper.limits.joints.highest).all()
    assert (motions[-1].position >= shaper.limits.joints.lowest).all()


@pytest.mark.parametrize("period", [0.001, 0.005, 0.01])
@pytest.mark.parametrize("stop", [0.2, 0.3])
def test_stops_from_full_speed_while_accelerating_take_as_long_as_the_formula_says(period, stop):
    limits = MotionLimits.of(period, stop)
    shaper = Shaper(limits)
    middle = (PUBLISHED.lowest + PUBLISHED.highest) / 2
    motion = Motion(middle, limits.joints.speed, np.full(7, limits.acceleration))
    velocities, motions = brought_to_rest(shaper, motion, round(stop / period))
    needed = period * next(count for count, each in enumerate(motions, 1) if each.resting)
    assert 0.8 * stop < needed <= stop
    assert np.diff(velocities, axis=0)[2:].max() <= 0.0  # it never speeds up again


def test_a_step_becomes_a_ramp_that_ends_at_what_was_wanted_and_does_not_pass_it():
    shaper = Shaper(MotionLimits.of(0.001, 0.2))
    wanted = np.array([0.5, -0.4, 0.3, 0.2, -0.6, 0.7, 0.1])
    velocities, _ = shaped(shaper, np.array(HOME), [wanted] * 300)
    share = velocities / wanted
    assert (np.diff(share, axis=0) >= -1e-12).all()
    assert share.max() <= 1.0 + 1e-12
    np.testing.assert_allclose(velocities[-1], wanted)
    # As fast as the limits allow: 0.7 rad/s at 6 rad/s², and two ramps of the acceleration.
    reached = 0.001 * (1 + int((np.abs(velocities - wanted).max(-1) > 1e-9).sum()))
    assert reached == pytest.approx(0.7 / 6.0 + 6.0 / 4500.0, abs=0.003)


@given(SEEDS, PERIODS)
@settings(max_examples=8, deadline=None)
def test_the_direction_is_kept_from_rest_to_rest(seed, period):
    rng = np.random.default_rng(seed)
    shaper = Shaper(MotionLimits.of(period, 0.2))
    wanted = rng.uniform(-1.0, 1.0, 7)
    velocities, motion = shaped(shaper, np.array(HOME), [wanted] * round(0.3 / period))
    stopping, _ = brought_to_rest(shaper, motion, round(0.2 / period))
    for each in (*velocities, *stopping):
        share = each @ wanted / (wanted @ wanted)
        np.testing.assert_allclose(each, share * wanted, atol=1e-9)


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_what_was_shaped_once_is_shaped_to_the_same_within_a_period_or_two(seed):
    rng = np.random.default_rng(seed)
    shaper = Shaper(MotionLimits.of(0.005, 0.2))
    start = np.array(HOME)
    # Rest and a constant velocity are left as they are.
    assert not shaped(shaper, start, np.zeros((10, 7)))[0].any()
    wishes = np.repeat(rng.uniform(-0.5, 0.5, (3, 7)), 40, 0)
    once, _ = shaped(shaper, start, wishes)
    twice, _ = shaped(shaper, start, once)
    # (6 + 4.5 / 2)² / (2 · 900): as much as an acceleration of 6 rad/s² can still change.
    assert np.abs(twice - once).max() < 0.04
    np.testing.assert_allclose(twice[-1], once[-1], atol=1e-3)


def test_an_arms_numbers_do_not_depend_on_other_arms():
    rng = np.random.default_rng(3)
    shaper = Shaper(MotionLimits.of(0.005, 0.3))
    start, wishes = some_start(rng, shaper.limits, 6), some_wishes(rng, 60, 6)
    together, _ = shaped(shaper, start, wishes)
    for arm in range(6):
        alone, _ = shaped(shaper, start[arm], wishes[:, arm])
        np.testing.assert_array_equal(alone, together[:, arm])


def test_a_joint_beyond_its_limit_may_stay_or_come_back_but_goes_no_further():
    shaper = Shaper(MotionLimits.of(0.005, 0.2))
    start = np.array(HOME)
    start[0] = PUBLISHED.highest[0] + 0.01
    outwards, _ = shaped(shaper, start, np.full((20, 7), 0.2))
    assert not outwards[:, 0].any()
    back, motion = shaped(shaper, start, np.full((40, 7), -0.2))
    assert back[-1, 0] == pytest.approx(-0.2)
    assert motion.position[0] < PUBLISHED.highest[0]


@given(SEEDS, PERIODS)
@settings(max_examples=20, deadline=None)
def test_the_foreseen_resting_place_is_where_arms_rest(seed, period):
    rng = np.random.default_rng(seed)
    limits = MotionLimits.of(period, 0.2)
    middle = np.tile((PUBLISHED.lowest + PUBLISHED.highest) / 2, (20, 1))
    velocity = rng.uniform(-1.0, 1.0, (20, 7)) * rng.random((20, 1)) * limits.joints.speed
    acceleration = rng.uniform(-1.0, 1.0, (20, 7)) * rng.random((20, 1)) * limits.acceleration
    motion = Motion(middle, velocity, acceleration)
    foreseen = Shaper(limits).rest_positions(motion)
    _, motions = brought_to_rest(Shaper(limits), motion, round(0.3 / period))
    np.testing.assert_allclose(motions[-1].position, foreseen, atol=4e-3)


@pytest.mark.slow
def test_ten_thousand_arms_at_once_keep_the_published_limits():
    rng = np.random.default_rng(0)
    shaper = Shaper(MotionLimits.of(0.01, 0.3))
    start = some_start(rng, shaper.limits, 10_000)
    velocities, _ = shaped(shaper, start, some_wishes(rng, 60, 10_000))
    for part in range(0, 10_000, 1000):
        rows = slice(part, part + 1000)
        sent = judge.ramps(velocities[:, rows], 0.01)
        assert judge.violations(start[rows], sent) == judge.NONE
