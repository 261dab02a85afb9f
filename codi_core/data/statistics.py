"""The statistics that the layout stores, for each episode and for the whole dataset."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
SUMMARIES = ("min", "max", "mean", "std", "count", *QUANTILES)
MOST_ROWS, MOST_VALUES = 65536, 2**24
"""How many frames of a feature are kept for quantiles, and how many values of all features."""


def episode_statistics(values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Summaries of one episode's values (T, n), each (n,); ``count`` is (1,)."""
    values = values.astype(np.float64)
    summary = {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "count": np.array([len(values)]),
    }
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return summary | dict(zip(QUANTILES, quantiles, strict=True))


class RunningStatistics:
    """Summaries of all frames of a feature, in bounded memory.

    Minimum, maximum, mean and standard deviation are exact. Quantiles are those of every s-th
    frame, with s the smallest power of two that keeps at most ``most_rows`` frames.

    Args:
        most_rows: how many frames are kept.
    """

    def __init__(self, most_rows: int = MOST_ROWS) -> None:
        self._most_rows = most_rows
        self._count = 0
        self._stride = 1
        self._rows: list[NDArray[Any]] = []
        self._kept = 0

    def copy(self) -> RunningStatistics:
        """The same summaries, to which other frames can follow."""
        # Arrays are replaced, never changed in place, so both may hold the same ones.
        other = copy.copy(self)
        other._rows = list(self._rows)
        return other

    def update(self, values: NDArray[Any]) -> None:
        """Take in the values (T, n) of the frames that follow."""
        values = values.astype(np.float64)
        # Chan et al.'s update of the sum of squared deviations does not cancel as Σx² would.
        count, mean = len(values), values.mean(0)
        squares = np.square(values - mean).sum(0)
        if self._count == 0:
            self._mean, self._squares = mean, squares
            self._min, self._max = values.min(0), values.max(0)
        else:
            total, shift = self._count + count, mean - self._mean
            self._squares = self._squares + squares + shift**2 * self._count * count / total
            self._mean = self._mean + shift * count / total
            self._min = np.minimum(self._min, values.min(0))
            self._max = np.maximum(self._max, values.max(0))
        self._keep(values)
        self._count += count

    def summary(self) -> dict[str, list[float] | list[int]]:
        """The summaries as JSON-able lists."""
        quantiles = np.quantile(np.concatenate(self._rows), list(QUANTILES.values()), axis=0)
        exact = {
            "min": self._min.tolist(),
            "max": self._max.tolist(),
            "mean": self._mean.tolist(),
            "std": np.sqrt(self._squares / self._count).tolist(),
            "count": [self._count],
        }
        return exact | {name: q.tolist() for name, q in zip(QUANTILES, quantiles, strict=True)}

    def _keep(self, values: NDArray[Any]) -> None:
        rows = values[-self._count % self._stride :: self._stride].copy()
        self._rows.append(rows)
        self._kept += len(rows)
        while self._kept > self._most_rows:
            self._rows = [np.concatenate(self._rows)[::2].copy()]
            self._kept = len(self._rows[0])
            self._stride *= 2
