"""Distributions, tests and intervals for methods that were measured on the same starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.evaluation.statistics import wilson_interval

Array = NDArray[np.float64]

DRAWS = 10_000
"""Of the bootstrap."""


@attrs.frozen
class Interval:
    """An estimate with its 95 % interval."""

    estimate: float
    low: float
    high: float


def ecdf(values: Sequence[float] | Array, trials: int | None = None) -> tuple[Array, Array]:
    """The empirical distribution function, as the corners of its steps.

    Args:
        values: the finite ones count; the others are larger than any.
        trials: how many there were in all, if some have no value; by default one a value.

    Returns:
        Where it rises, ascending, and the share of trials up to there; (k,) each.
    """
    given = np.asarray(values, dtype=float)
    finite = given[np.isfinite(given)]
    places, counts = np.unique(finite, return_counts=True)
    return places, np.cumsum(counts) / (len(given) if trials is None else trials)


def mcnemar(first: int, second: int) -> float:
    """The p value of McNemar's exact test (1947): two-sided, from the binomial distribution.

    Args:
        first: starts on which the first method alone succeeds.
        second: starts on which the second method alone succeeds.

    Raises:
        ValueError: a negative number.
    """
    if min(first, second) < 0:
        raise ValueError(f"counts of starts can't be negative: {first}, {second}")
    trials = first + second
    tail = sum(math.comb(trials, k) for k in range(min(first, second) + 1))
    return float(min(1.0, 2 * tail / 2**trials))


def paired_difference(both: int, first: int, second: int, neither: int) -> Interval:
    """How much more often the first method succeeds than the second, with Newcombe's interval.

    It puts two Wilson intervals together and heeds how both methods' successes go together
    (Newcombe, 1998, method 10), so that it has a width where all starts agree.

    Args:
        both: starts on which both succeed.
        first: starts on which the first alone does.
        second: starts on which the second alone does.
        neither: starts on which none does.

    Raises:
        ValueError: there is no start.
    """
    trials = both + first + second + neither
    if trials == 0:
        raise ValueError("a difference of shares needs trials")
    one, other = both + first, both + second
    shares = one / trials, other / trials
    lows, highs = zip(wilson_interval(one, trials), wilson_interval(other, trials), strict=True)
    spread = one * (trials - one) * other * (trials - other)
    covariance = float(both * neither - first * second)
    if covariance > 0:
        covariance = max(covariance - trials / 2, 0.0)
    correlation = covariance / math.sqrt(spread) if spread else 0.0

    def reach(ours: float, theirs: float) -> float:
        return math.sqrt(max(ours**2 - 2 * correlation * ours * theirs + theirs**2, 0.0))

    difference = shares[0] - shares[1]
    return Interval(
        difference,
        difference - reach(shares[0] - lows[0], highs[1] - shares[1]),
        difference + reach(highs[0] - shares[0], shares[1] - lows[1]),
    )


def paired_bootstrap(
    values: Array, statistic: Callable[[Array], Array], draws: int = DRAWS, seed: int = 0
) -> Interval:
    """A statistic of methods measured on the same starts, with a percentile interval.

    Starts are drawn with replacement (Efron, 1979), all of a start's values together.

    Args:
        values: (n, k), k values of n starts.
        statistic: from (..., n, k) to (...).
        draws: how often.
        seed: of the draws.

    Raises:
        ValueError: there is no start.
    """
    if not len(values):
        raise ValueError("a bootstrap needs starts")
    rows = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.percentile(statistic(values[rows]), [2.5, 97.5])
    return Interval(float(statistic(values)), float(low), float(high))


def difference_of(summary: Callable[..., Array]) -> Callable[[Array], Array]:
    """That of the first column minus that of the second, for :func:`paired_bootstrap`.

    Args:
        summary: takes an array and an axis, as ``np.median`` does.
    """

    def difference(values: Array) -> Array:
        of_each = summary(values, -2)
        result: Array = of_each[..., 0] - of_each[..., 1]
        return result

    return difference
