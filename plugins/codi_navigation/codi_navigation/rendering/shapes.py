"""The outlines of obstacles and of what a picture shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import Trace
from codi_navigation.maps.shapes import FAR


def shown_shapes(rows: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """The obstacles (n, 6) that are there, without those that only fill up a batch."""
    return [row for row in rows if abs(row[0]) < FAR / 2]


def corners(row: NDArray[np.floating]) -> NDArray[np.floating]:
    """The corners (4, 2) [m] of a box (6,)."""
    x, y, half_length, half_width, angle, _ = row
    along = half_length * np.array([np.cos(angle), np.sin(angle)])
    across = half_width * np.array([-np.sin(angle), np.cos(angle)])
    middle = np.array([x, y])
    return np.stack(
        [middle + along + across, middle - along + across, middle - along - across,
         middle + along - across]
    )  # fmt: skip


def view(trace: Trace) -> tuple[float, float, float, float]:
    """What a picture of an episode shows: (x_min, y_min, x_max, y_max) [m]."""
    x_min, y_min, x_max, y_max = np.asarray(trace["extent"], float)[0]
    position, edge = np.asarray(trace["position"], float), 0.15
    low, high = position.min((0, 1)), position.max((0, 1))
    size = float(np.max(trace["radius"]))
    return (
        min(x_min, low[0] - size) - edge,
        min(y_min, low[1] - size) - edge,
        max(x_max, high[0] + size) + edge,
        max(y_max, high[1] + size) + edge,
    )
