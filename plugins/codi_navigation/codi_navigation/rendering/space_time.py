"""The space-time plot of a passage: who is in it when, and which way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from codi_core.tasks import Trace
from codi_navigation.maps.shapes import in_frame
from codi_navigation.rendering import palette
from codi_navigation.rendering.shapes import shown_shapes
from codi_navigation.vehicles.base import PERIOD

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_space_time(axes: Axes, trace: Trace) -> None:
    """Draw how far along its passage each robot is over time; the band is the passage.

    Lines that cross inside the band are robots that pass through one another: there are none.

    Args:
        axes: to draw into.
        trace: the episode's events.

    Raises:
        ValueError: the map has no passage.
    """
    passages = shown_shapes(np.asarray(trace["passages"], float)[0])
    if not passages:
        raise ValueError("the map has no passage to draw a space-time plot of")
    passage = torch.as_tensor(passages[0])
    position = torch.as_tensor(np.asarray(trace["position"], float))
    along = in_frame(position, passage)[0].numpy()
    time = PERIOD * np.arange(len(along))
    half = float(passage[2])
    axes.axhspan(-half, half, color=palette.unit(palette.PASSAGE), zorder=0, label="passage")
    for index in range(along.shape[1]):
        colour = palette.unit(palette.robot_colour(index))
        axes.plot(time, along[:, index], color=colour, lw=1.6, label=f"robot {index}")
    axes.set(xlabel="time [s]", ylabel="along the passage [m]", xlim=(0, time[-1]))
    axes.legend(fontsize=8, frameon=False, ncol=2)
