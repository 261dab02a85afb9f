"""Which actions are executed when."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@attrs.frozen(eq=False)
class ScheduledChunks:
    """Chunks that are followed from a control step on.

    Attributes:
        first: the control step of their first actions.
        chunks: (B, K, A_i) an agent.
        plans: (B,), the number of the plan that each world's chunks came from; () if unknown.
    """

    first: int
    chunks: tuple[Tensor, ...]
    plans: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))

    @property
    def end(self) -> int:
        """The control step after their last actions."""
        return self.first + self.chunks[0].shape[1]


class Schedule:
    """Chunks that follow one another; each ends where the next one starts."""

    def __init__(self) -> None:
        self._entries: list[ScheduledChunks] = []

    @property
    def end(self) -> int:
        """The control step after the last actions; 0 before there are any."""
        return self._entries[-1].end if self._entries else 0

    @property
    def next_first(self) -> int:
        """The earliest control step for the first actions of further chunks."""
        return self._entries[-1].first + 1 if self._entries else 0

    def add(self, entry: ScheduledChunks) -> None:
        """Append chunks that start after all that are there already."""
        self._entries.append(entry)

    def at(self, tick: int) -> ScheduledChunks | None:
        """The chunks that are followed at a control step; steps are asked for in order."""
        while len(self._entries) > 1 and self._entries[1].first <= tick:
            self._entries.pop(0)
        if self._entries and self._entries[0].first <= tick < self._entries[0].end:
            return self._entries[0]
        return None

    def actions(self, tick: int) -> tuple[Tensor, ...] | None:
        """The actions of a control step, (B, A_i) an agent, or None if there are none."""
        entry = self.at(tick)
        if entry is None:
            return None
        return tuple(chunk[:, tick - entry.first] for chunk in entry.chunks)
