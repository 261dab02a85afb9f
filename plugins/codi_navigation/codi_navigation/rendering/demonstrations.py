"""A picture of what single-robot demonstrations look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codi_core.tasks import EpisodeKey
from codi_navigation.collection.recorder import Recorder
from codi_navigation.rendering.renderer import draw_map
from codi_navigation.vehicles.base import PERIOD, TOP_SPEED


def write_demonstrations(path: Path, episodes: Sequence[EpisodeKey], vehicle: str) -> Path:
    """Write a PNG with the paths of some demonstrations, coloured by speed; returns its path.

    Args:
        path: where.
        episodes: which ones; they are run again.
        vehicle: the vehicle kind.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    recorder = Recorder(episodes, vehicle)
    shapes = recorder.state.maps.obstacles.numpy()
    columns = 4
    rows = -(-len(episodes) // columns)
    figure = Figure(figsize=(3 * columns, 3 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for number, frames in enumerate(recorder.run()):
        axes, position = panels[number], frames["state.position"]
        trace = {
            "obstacles": shapes[number][None],
            "passages": np.empty((1, 0, 6)),
            "roundabouts": np.empty((1, 0, 6)),
            "extent": np.array([recorder.extent]),
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
    for axes in panels[len(episodes) :]:
        axes.axis("off")
    figure.colorbar(line, ax=panels.tolist(), shrink=0.5, label="speed [m/s]")
    figure.savefig(path, dpi=100)
    return path
