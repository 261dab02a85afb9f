"""A grid as bars: success, time to it, and what a plan costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codi_core.errors import MissingExtraError
from codi_core.files.pictures import save_figure


def write_picture(path: Path, title: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Draw all rows; returns the path.

    Args:
        path: of the picture.
        title: above it.
        rows: of a grid; each has finished at least one episode.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    # Not pyplot: a picture must neither open windows nor touch the user's backend.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    figure = Figure(figsize=(9.5, 0.9 + 0.34 * len(rows)), dpi=100)
    FigureCanvasAgg(figure)
    success, time, cost = figure.subplots(1, 3, sharey=True)
    places = range(len(rows))
    rates = [100 * row["success_rate"] for row in rows]
    below = [100 * (row["success_rate"] - row["success_low"]) for row in rows]
    above = [100 * (row["success_high"] - row["success_rate"]) for row in rows]
    success.barh(places, rates, xerr=(below, above), color="C0", ecolor="0.3", capsize=2)
    success.set(xlim=(0, 100), xlabel="success [%], 95 % intervals")
    time.barh(places, [row["mean_seconds"] for row in rows], color="C1")
    time.set(xlabel="mean time to success [s]")
    cost.barh(places, [row["plan_ms_per_world"] or 0.0 for row in rows], color="C2")
    cost.set(xscale="log", xlabel="a plan of one world [ms]")
    success.set_yticks(places, [_label(row) for row in rows])
    success.invert_yaxis()
    for axes in (success, time, cost):
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(labelsize=8)
    figure.suptitle(f"{title}; in brackets: rollouts a replan", fontsize=10)
    figure.tight_layout()
    return save_figure(figure, path)


def _label(row: Mapping[str, Any]) -> str:
    return f"{row['row']} ({row['rollouts_per_replan'] or 0:.0f})"
