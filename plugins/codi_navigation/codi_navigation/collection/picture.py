"""A picture of what single-robot demonstrations look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codi_navigation.collection.recorder import Demonstration
from codi_navigation.maps.shapes import Maps
from codi_navigation.rendering.renderer import draw_map
from codi_navigation.vehicles.base import PERIOD, TOP_SPEED


def write_demonstrations(path: Path, demonstrations: Sequence[Demonstration]) -> Path:
    """Write a PNG with the paths of some demonstrations, coloured by speed; returns its path."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(demonstrations) // columns)
    figure = Figure(figsize=(3 * columns, 3 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, made in zip(panels, demonstrations, strict=False):
        frames, position = made.frames, made.frames["state.position"]
        trace = {
            "obstacles": Maps.of([made.map]).obstacles.numpy(),
            "passages": np.empty((1, 0, 6)),
            "roundabouts": np.empty((1, 0, 6)),
            "extent": np.array([made.map.extent]),
            "position": position[:, None],
            "radius": frames["state.radius"],
        }
        draw_map(axes, trace)
        pieces = np.stack((position[:-1], position[1:]), 1)
        line = LineCollection(list(pieces), cmap="viridis", lw=2, zorder=3)
        line.set_array(np.linalg.norm(np.diff(position, axis=0), axis=-1) / PERIOD)
        line.set_clim(0, TOP_SPEED)
        axes.add_collection(line)
        goals = np.unique(frames["state.goal"], axis=0)
        axes.plot(*goals.T, "*", color="crimson", ms=9, zorder=4)
        axes.plot(*position[0], "^", color="black", ms=6, zorder=4)
    for axes in panels[len(demonstrations) :]:
        axes.axis("off")
    figure.colorbar(line, ax=panels.tolist(), shrink=0.5, label="speed [m/s]")
    figure.savefig(path, dpi=100)
    return path
