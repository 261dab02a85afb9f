import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from codi_franka.vision import motion as module
from codi_franka.vision.motion import CubeMotion
from tests.hardware.vision.synthetic import on_table

EXACT = np.diag([0.0005**2] * 3 + [0.005**2] * 3)


def pushed(twist=(0.1, -0.05, 0.0, 0.0, 0.0, 0.0)):
    motion = CubeMotion(0.0, on_table(), EXACT)
    motion.twist = np.array(twist)
    return motion


@given(st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_it_does_not_matter_how_many_pictures_a_time_is_cut_into(first, second):
    once, twice = pushed(), pushed()
    once.coast(first + second)
    twice.coast(first)
    twice.coast(first + second)
    assert twice.pose == pytest.approx(once.pose, abs=1e-12)
    assert twice.twist == pytest.approx(once.twist, abs=1e-12)
    assert twice.covariance == pytest.approx(once.covariance, abs=1e-12)


@pytest.mark.parametrize("step", [0.02, 0.2, 3.0])
def test_pushes_spread_as_the_equation_says(step):
    """Van Loan (1978): the covariance of a linear stochastic differential equation."""
    rate, spread = 1 / module._REST, module._TWIST[0]
    drift, noise = np.array([[0, 1], [0, -rate]]), np.diag((0, 2 * spread**2 * rate))
    both = expm(step * np.block([[-drift, noise], [np.zeros((2, 2)), drift.T]]))
    wanted = both[2:, 2:].T @ both[:2, 2:]
    assert module._pushes(step)[np.ix_([0, 6], [0, 6])] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("rate", [5, 10, 30])
def test_noise_does_not_make_what_lies_still_swing(rate):
    random, motion = np.random.default_rng(3), CubeMotion(0.0, on_table(), EXACT)
    ahead = []
    for number in range(1, 200):
        motion.coast(number / rate)
        noisy = on_table()
        noisy[:3, 3] += 0.0005 * random.standard_normal(3)
        motion.correct(noisy, EXACT)
        later = motion.copy()
        later.coast(motion.time + 0.2)
        ahead.append(later.pose[:3, 3] - on_table()[:3, 3])
    assert np.std(ahead) < 0.004


def test_a_height_moves_the_place_along_the_line_of_sight():
    sight = np.array([0.0, 0.785, -0.62])
    spread = EXACT.copy()
    spread[:3, :3] += 0.02**2 * np.outer(sight, sight)
    true = on_table()
    motion = CubeMotion(0.0, true.copy(), spread)
    motion.pose[:3, 3] += 0.03 * sight
    motion.correct_height(0.025, 0.001)
    assert motion.pose[:3, 3] == pytest.approx(true[:3, 3], abs=1e-3)
    assert np.sqrt(motion.covariance[2, 2]) == pytest.approx(0.001, rel=0.01)


def test_what_is_let_go_of_rests_below():
    motion = pushed((0.3, 0.0, 0.2, 0.0, 0.0, 1.0))
    motion.pose[2, 3] = 0.1
    motion.let_go(0.025)
    motion.coast(0.5)
    assert motion.pose[:3, 3] == pytest.approx([0, 0, 0.025])
    assert not motion.twist.any()
    assert np.sqrt(motion.covariance[0, 0]) > 0.005


def test_what_happens_to_a_copy_does_not_happen_to_the_first():
    first = pushed()
    before = first.pose.copy(), first.covariance.copy()
    twin = first.copy()
    twin.let_go(0.1)
    twin.correct_height(0.2, 0.01)
    assert np.array_equal(first.pose, before[0]) and np.array_equal(first.covariance, before[1])
