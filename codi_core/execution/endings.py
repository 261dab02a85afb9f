"""When the episodes of a batch of worlds are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Events = Mapping[str, NDArray[np.generic]]

_UNENDING = np.iinfo(np.int64).max


class Endings:
    """Counts the rows of events that belong to each world's episode.

    An episode ends when its world fails, or a number of control steps after it has succeeded. All
    worlds stay in the batch: what one does after its end does not count.

    Args:
        after_success: that number, or None for episodes that go on to the time limit.
    """

    def __init__(self, after_success: int | None = None) -> None:
        self.after_success = after_success
        self._rows = 0
        self._length: NDArray[np.int64] | None = None

    def note(self, events: Events) -> bool:
        """Take in the next row of events; whether the episodes of all worlds are over."""
        self._rows += 1
        for name, further in (("failed", 0), ("succeeded", self.after_success)):
            marked = events.get(name)
            if marked is None or further is None:
                continue
            self._shorten(np.where(marked, self._rows + further, _UNENDING))
        return self.over()

    def end(self, worlds: int, ended: Sequence[int]) -> None:
        """End the episodes of some of the worlds with the latest row."""
        length = np.full(worlds, _UNENDING, dtype=np.int64)
        length[list(ended)] = self._rows
        self._shorten(length)

    def over(self) -> bool:
        """Whether the episodes of all worlds are over."""
        return self._length is not None and bool((self._length <= self._rows).all())

    def unfinished(self, worlds: int) -> NDArray[np.bool_]:
        """Whether each world's episode is not over yet, (B,)."""
        if self._length is None:
            return np.ones(worlds, dtype=bool)
        return self._length > self._rows

    def lengths(self, worlds: int) -> NDArray[np.int64]:
        """How many rows each world's episode has, (B,)."""
        whole = np.full(worlds, self._rows, dtype=np.int64)
        return whole if self._length is None else np.minimum(whole, self._length)

    def _shorten(self, length: NDArray[np.int64]) -> None:
        self._length = length if self._length is None else np.minimum(self._length, length)
