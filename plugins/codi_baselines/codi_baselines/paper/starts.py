"""Fig. 2: where demonstrations, or the episodes, begin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codi_baselines.paper.outcomes import Outcome
from codi_baselines.paper.panels import canvas, save
from codi_baselines.paper.styles import BLUE, GREY

FILE = "figure-2.png"
FEW = 0.2
"""The share of the demonstrations, the first ones, that the rows of 20 % have learned from."""
SPREAD = 1.05
"""How much wider than the points the panels are."""

Points = NDArray[np.float64]


def starts_of_data(folder: Path, feature: str) -> Points:
    """Where the demonstrations of a data set begin, (n, 2) [m].

    Args:
        folder: the data set.
        feature: a position, whose first two values are taken.

    Raises:
        DatasetError: it can't be read, or has no such feature.
        MissingExtraError: what reads data sets is not installed.
    """
    from codi_core.data import DemonstrationDataset

    data = DemonstrationDataset.load(folder, [feature])
    points: Points = data.arrays[feature][data.episode_starts[:-1], :2].astype(float)
    return points


def starts_of_episodes(outcome: Outcome, field: str) -> Points:
    """Where a row's episodes begin, (n, 2) [m]; n = 0 if its records don't say."""
    found = [record[field][:2] for record in outcome.records.values() if field in record]
    return np.array(found, dtype=float).reshape(-1, 2)


def write_starts(folder: Path, groups: dict[str, Points]) -> Path:
    """Draw points, a panel for each group; returns the file.

    Args:
        folder: where it goes.
        groups: by title, (n, 2) [m] each.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = canvas(len(groups), "Fig. 2: initial positions")
    every = np.concatenate(list(groups.values()))
    middle, half = (every.max(0) + every.min(0)) / 2, SPREAD * np.ptp(every, 0) / 2 + 1e-3
    for ax, (title, points) in zip(axes, groups.items(), strict=True):
        ax.plot(*points.T, ls="", marker="o", ms=3.5, mec="white", mew=0.3, color=BLUE)
        ax.axhline(0, color=GREY, lw=0.5, zorder=0)
        ax.axvline(0, color=GREY, lw=0.5, zorder=0)
        ax.set(aspect="equal", xlabel="x [m]", ylabel="y [m]")
        ax.set(xlim=(middle[0] - half[0], middle[0] + half[0]))
        ax.set(ylim=(middle[1] - half[1], middle[1] + half[1]))
        ax.set_title(f"{title} ({len(points)})", fontsize=10)
    return save(figure, folder / FILE)


def few(points: Points) -> Points:
    """The first fifth."""
    return points[: round(FEW * len(points))]
