"""Lays pictures of an episode out on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codi_core.files.pictures import save_figure
from codi_franka.rendering.moments import Moment
from codi_franka.rendering.opengl import Frame

_COLUMNS = 3


def write_film_strip(
    path: Path, pictures: Sequence[Frame], moments: Sequence[Moment], dt: float
) -> Path:
    """Write a PNG with the pictures in the order of time; returns the path.

    Args:
        path: where.
        pictures: one a moment, of one size.
        moments: what they show.
        dt: the control period [s].
    """
    # Not pyplot: drawing must neither open windows nor touch the user's backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    figure = Figure(figsize=(4.0 * columns, 4.0 * rows * height / width), dpi=150)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.015, hspace=0.02)
    for axes in grid:
        axes.set_axis_off()
    for axes, picture, moment in zip(grid, pictures, moments, strict=False):
        axes.imshow(picture)
        text = f"{moment.step * dt:.1f} s"
        axes.text(
            0.03, 0.955, f"{text}  {moment.caption}" if moment.caption else text,
            transform=axes.transAxes, va="top", fontsize=11, color="white",
            bbox={"boxstyle": "round,pad=0.35", "facecolor": "#20242c", "edgecolor": "none",
                  "alpha": 0.82},
        )  # fmt: skip
    return save_figure(figure, path)
