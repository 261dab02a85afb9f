"""The interface of a task's pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Trace = Mapping[str, NDArray[np.generic]]
"""One episode's events, arrays (T + 1, ...), one row a control step. Kept traces also hold what was
executed: names with a dot, and "plan"."""


class Renderer(ABC):
    """Draws episodes from their events.

    Attributes:
        monitors: events that reports draw over time where a run has them, and what to call them:
            what a real system tells of itself, such as forces.
    """

    monitors: Mapping[str, str] = {}

    @abstractmethod
    def frames(self, trace: Trace) -> Iterator[NDArray[np.uint8]]:
        """One RGB picture a control step, (height, width, 3)."""

    @abstractmethod
    def draw_paths(self, axes: Axes, trace: Trace) -> None:
        """Draw how the agents and objects moved, seen from above, into matplotlib axes."""
