"""The Wilson interval, against values in closed form and from the literature."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codi_core.evaluation.statistics import Z_95, wilson_interval


def test_half_of_the_trials() -> None:
    # For a share of 1/2 the interval is 1/2 ± z / (2 sqrt(n + z²)).
    half = Z_95 / (2 * math.sqrt(100 + Z_95**2))
    assert wilson_interval(50, 100) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)


def test_all_and_none() -> None:
    # For a share of 1 the lower bound is n / (n + z²).
    low, high = wilson_interval(20, 20)
    assert low == pytest.approx(20 / (20 + Z_95**2), abs=1e-12)
    assert high == 1.0
    assert wilson_interval(0, 20) == pytest.approx((0.0, 1 - low), abs=1e-12)


def test_published_values() -> None:
    # Newcombe (1998), table I, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_no_trials_say_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="successes in"):
        wilson_interval(successes, trials)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_bounds_solve_the_score_equation(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    share = successes / trials
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        # |p̂ - p| = z sqrt(p (1 - p) / n) defines the interval.
        assert (share - bound) ** 2 == pytest.approx(
            Z_95**2 * bound * (1 - bound) / trials, abs=1e-9
        )
