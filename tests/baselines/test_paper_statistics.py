"""The paper job's statistics against closed forms and published values."""

from __future__ import annotations

import numpy as np
import pytest

from codi_baselines.paper.statistics import (
    difference_of,
    ecdf,
    mcnemar,
    paired_bootstrap,
    paired_difference,
)


def test_a_distribution_rises_where_values_are() -> None:
    places, shares = ecdf([3.0, 1.0, 1.0, np.inf])
    assert places.tolist() == [1.0, 3.0]
    assert shares.tolist() == [0.5, 0.75]
    assert ecdf([2.0], trials=5)[1].tolist() == [0.2]
    assert ecdf([])[0].size == 0


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (1, 7, 18 / 256),  # Fagerland, Lydersen and Laake (2014): 0.070
        (9, 1, 22 / 1024),
        (0, 5, 2 / 32),
        (4, 4, 1.0),
        (0, 0, 1.0),
        (200, 0, 2.0**-199),
    ],
)
def test_mcnemars_test_is_the_binomial_one(first: int, second: int, p: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == mcnemar(first, second)


def test_counts_of_starts_are_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_the_difference_has_newcombes_interval() -> None:
    """The example of Fagerland, Lydersen and Laake (2014), and one that is worked out by hand."""
    found = paired_difference(1, 1, 7, 12)
    assert found.estimate == pytest.approx(-6 / 21)
    assert (found.low, found.high) == (
        pytest.approx(-0.507, abs=5e-4),
        pytest.approx(-0.026, abs=5e-4),
    )

    # All agree: z²/(n + z²), the reach of Wilson's interval below 1, on both sides.
    reach = 1.959963984540054**2 / (200 + 1.959963984540054**2)
    same = paired_difference(200, 0, 0, 0)
    assert [same.low, same.high] == pytest.approx([-reach, reach])


def test_swapping_the_methods_turns_the_difference_around() -> None:
    found, turned = paired_difference(90, 30, 10, 70), paired_difference(90, 10, 30, 70)
    assert found.estimate == pytest.approx(0.1) == -turned.estimate
    assert [found.low, found.high] == pytest.approx([-turned.high, -turned.low])
    # Methods that succeed on the same starts are compared more sharply than unlike ones.
    apart = paired_difference(50, 70, 50, 30)
    assert apart.estimate == pytest.approx(0.1)
    assert apart.high - apart.low > 1.3 * (found.high - found.low)
    with pytest.raises(ValueError, match="trials"):
        paired_difference(0, 0, 0, 0)


def test_nineteen_of_twenty_bootstrap_intervals_hold_the_true_difference() -> None:
    random = np.random.default_rng(3)
    held, widths = 0, []
    for repeat in range(400):
        common = random.normal(size=(100, 1))  # starts that are hard for both
        values = common + 0.5 * random.normal(size=(100, 2)) + [0.3, 0.0]
        found = paired_bootstrap(values, difference_of(np.mean), draws=600, seed=repeat)
        held += found.low < 0.3 < found.high
        widths.append(found.high - found.low)
    assert 0.92 < held / 400 < 0.975
    # Four standard errors of a difference of standard deviation √0.5: what both share cancels.
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.sqrt(0.5 / 100), rel=0.05)


def test_a_bootstrap_of_medians_takes_all_of_a_starts_values_together() -> None:
    values = np.array([[1.0, 5.0], [2.0, 6.0], [30.0, 34.0]])
    found = paired_bootstrap(values, difference_of(np.median), draws=200)
    assert (found.estimate, found.low, found.high) == (-4.0, -4.0, -4.0)
    assert paired_bootstrap(values, difference_of(np.mean)) == paired_bootstrap(
        values, difference_of(np.mean)
    )
    with pytest.raises(ValueError, match="starts"):
        paired_bootstrap(np.empty((0, 2)), difference_of(np.mean))
