"""The parts of figures: distributions, rates, and how often something happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codi_baselines.paper.outcomes import SUCCESS, TIME, Array, Outcome, share, unit_of
from codi_baselines.paper.statistics import ecdf
from codi_baselines.paper.styles import bar_of, line_of
from codi_core.errors import MissingExtraError
from codi_core.files.pictures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 3.7, 2.9
"""[inch] Of a panel."""


def draw_distribution(
    axes: Axes, outcomes: list[Outcome], measure: str, label: str, logarithmic: bool = False
) -> None:
    """The share of episodes that come at least so close, or take at most so long.

    Args:
        axes: to draw into.
        outcomes: one line each.
        measure: what is on the horizontal axis; a failure has no time.
        label: of that axis.
        logarithmic: whether that axis is.
    """
    found = [_finished(outcome, measure) for outcome in outcomes]
    end = max(max(values, default=0.0) for values in found)
    if measure == TIME:
        end = max(outcome.limit for outcome in outcomes)
        axes.set_xlim(0, end)
    for outcome, values in zip(outcomes, found, strict=True):
        places, shares = ecdf(values, len(outcome.records))
        if len(places):
            places = np.r_[places[0], places, end]
            shares = np.r_[0.0, shares, shares[-1]]
        axes.step(places, shares, where="post", label=outcome.name, **line_of(outcome.label))
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set(ylim=(0, 1.02), xlabel=label, ylabel="share of episodes")
    axes.grid(alpha=0.25)


def draw_success(axes: Axes, outcomes: list[Outcome]) -> None:
    """The rates of success as bars."""
    _bars(axes, outcomes, SUCCESS)


def draw_happenings(axes: Axes, outcomes: list[Outcome], measure: str) -> None:
    """In how many episodes something happened, as bars; above them, how often an episode."""
    _bars(axes, outcomes, measure)
    for place, outcome in enumerate(outcomes):
        values = list(outcome.values(measure).values())
        if values:
            text = f"{np.mean(values):.2g} an episode"
            top = 100 * share(*outcome.happened(measure))[2]
            axes.text(place, top + 2, text, ha="center", va="bottom", fontsize=7.5)
    axes.set_ylim(0, 112)


def canvas(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """An empty figure with panels, up to three side by side.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    # Not pyplot: a picture must neither open windows nor touch the user's backend.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    columns = 2 if count == 4 else min(count, 3)
    rows = -(-count // columns)
    size = (WIDTH * columns + 0.4, HEIGHT * rows + 0.7)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    every = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes in every[count:]:
        axes.set_axis_off()
    figure.suptitle(title, fontsize=11)
    return figure, every[:count]


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; returns its path."""
    return save_figure(figure, path)


def _finished(outcome: Outcome, measure: str) -> Array:
    """The values to draw, in what people read them in."""
    values = outcome.values(measure)
    if measure == TIME:
        values = {number: values[number] for number in values.keys() - set(outcome.failures)}
    return unit_of(measure)[0] * np.array(list(values.values()))


def _bars(axes: Axes, outcomes: list[Outcome], measure: str) -> None:
    places = range(len(outcomes))
    rates = [[100 * value for value in share(*outcome.happened(measure))] for outcome in outcomes]
    for place, outcome, (rate, low, high) in zip(places, outcomes, rates, strict=True):
        axes.bar(place, rate, width=0.7, **bar_of(outcome.label))
        axes.errorbar(
            place, rate, [[rate - low], [high - rate]], color="black", capsize=4, lw=1.2, zorder=3
        )
    axes.set_xticks(places, [outcome.name for outcome in outcomes], rotation=15, ha="right")
    axes.set(xlim=(-0.6, max(len(outcomes), 2) - 0.4), ylim=(0, 104))
    axes.set_ylabel("share of episodes [%]")
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y", alpha=0.25)
