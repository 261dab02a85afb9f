"""Pictures of what demonstrations look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codi_core.files.pictures import save_figure
from codi_core.tasks import Trace
from codi_navigation.collection.recorder import Demonstration
from codi_navigation.maps.shapes import Maps
from codi_navigation.rendering.renderer import draw_map
from codi_navigation.rendering.space_time import draw_space_time
from codi_navigation.vehicles.base import PERIOD, TOP_SPEED


def write_demonstrations(path: Path, demonstrations: Sequence[Demonstration]) -> Path:
    """Write a PNG with the paths of some demonstrations, coloured by speed; returns its path."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(demonstrations) // columns)
    height = 0.6 + 2.4 * _slenderness(demonstrations[0])
    figure = Figure(figsize=(3 * columns, height * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, made in zip(panels, demonstrations, strict=False):
        trace = _trace(made)
        draw_map(axes, trace)
        position = np.asarray(trace["position"])
        pieces = np.stack((position[:-1], position[1:]), 2)  # (T - 1, N, 2, 2)
        line = LineCollection(list(pieces.reshape(-1, 2, 2)), cmap="viridis", lw=2, zorder=3)
        line.set_array(np.linalg.norm(np.diff(position, axis=0), axis=-1).ravel() / PERIOD)
        line.set_clim(0, TOP_SPEED)
        axes.add_collection(line)
        goals = np.unique(np.asarray(trace["goal"]).reshape(-1, 2), axis=0)
        axes.plot(*goals.T, "*", color="crimson", ms=9, zorder=4)
        axes.plot(*position[0].T, "^", color="black", ms=6, zorder=4)
    for axes in panels[len(demonstrations) :]:
        axes.axis("off")
    figure.colorbar(line, ax=panels.tolist(), shrink=0.5, label="speed [m/s]")
    return save_figure(figure, path, dpi=100)


def write_crossings(path: Path, demonstrations: Sequence[Demonstration]) -> Path:
    """Write a PNG with space-time plots of some joint demonstrations; returns its path."""
    from matplotlib.figure import Figure

    columns = 3
    rows = -(-len(demonstrations) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, made in zip(panels, demonstrations, strict=False):
        draw_space_time(axes, _trace(made))
        shown = axes.get_legend_handles_labels()
        axes.get_legend().remove()
    for axes in panels[len(demonstrations) :]:
        axes.axis("off")
    figure.legend(*shown, loc="outside upper center", ncol=3, frameon=False)
    return save_figure(figure, path, dpi=100)


def _slenderness(made: Demonstration) -> float:
    """Of the map: its height over its width."""
    x_min, y_min, x_max, y_max = made.map.extent
    return (y_max - y_min) / (x_max - x_min)


def _trace(made: Demonstration) -> Trace:
    """What pictures show, as the environment's events have it; N robots."""
    maps = Maps.of([made.map])
    return {
        "obstacles": maps.obstacles.numpy(),
        "passages": maps.passages.numpy(),
        "roundabouts": maps.roundabouts.numpy(),
        "extent": np.array([made.map.extent]),
        "position": _places(made.frames["state.position"]),
        "goal": _places(made.frames["state.goal"]),
        "radius": made.frames["state.radius"],
    }


def _places(values: NDArray[Any]) -> NDArray[Any]:
    """(T, 2 N) -> (T, N, 2)."""
    return values.reshape(len(values), -1, 2)
