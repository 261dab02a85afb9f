"""Draws episodes of the navigation tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from codi_core.tasks import Renderer, Trace
from codi_navigation.rendering import palette
from codi_navigation.rendering.shapes import corners, shown_shapes, view
from codi_navigation.rendering.top_view import Frame, TopView

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class NavigationRenderer(Renderer):
    """The team from above: moving pictures with Pillow, paths with matplotlib.

    Args:
        size: the longer side of moving pictures [pixels].
    """

    def __init__(self, size: int = 640) -> None:
        self.size = size

    def frames(self, trace: Trace) -> Iterator[Frame]:
        """One picture a control step, (height, width, 3).

        Args:
            trace: an episode's events, as the environment documents them.
        """
        yield from TopView(trace, self.size).frames()

    def picture(self, trace: Trace, step: int) -> Frame:
        """The picture of one step, (height, width, 3), with the paths until then."""
        return TopView(trace, self.size).picture(step)

    def draw_paths(self, axes: Axes, trace: Trace) -> None:
        """Draw all paths, with the robots where they end and rings at their goals."""
        from matplotlib.patches import Circle

        draw_map(axes, trace)
        position, radius = np.asarray(trace["position"], float), np.asarray(trace["radius"])[0]
        for index in range(position.shape[1]):
            colour = palette.unit(palette.robot_colour(index))
            goal = np.asarray(trace["goal"], float)[0, index]
            axes.plot(*position[:, index].T, color=colour, lw=1, zorder=3)
            axes.add_patch(Circle(position[-1, index], radius[index], color=colour, zorder=4))
            axes.add_patch(
                Circle(goal, 0.6 * radius[index], fill=False, ec=colour, lw=1.5, zorder=5)
            )


def draw_map(axes: Axes, trace: Trace) -> None:
    """Draw what the map has; axes get equal scales and the episode's limits [m]."""
    from matplotlib.patches import Circle, Patch, Polygon

    for name, colour in palette.MAP:
        for row in shown_shapes(np.asarray(trace[name], float)[0]):
            shade = palette.unit(colour)
            patch: Patch = (
                Circle((row[0], row[1]), row[5], color=shade, zorder=1)
                if row[5] > 0
                else Polygon(corners(row), color=shade, zorder=1)
            )
            axes.add_patch(patch)
    x_min, y_min, x_max, y_max = view(trace)
    axes.set(xlim=(x_min, x_max), ylim=(y_min, y_max), aspect="equal")
    axes.set_xlabel("x [m]", fontsize=9)
    axes.set_ylabel("y [m]", fontsize=9)
    axes.tick_params(labelsize=8)
