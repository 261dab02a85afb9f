"""Tells a human how far a benchmark is and how long it will take."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from codi_core.evaluation.progress import Lines, live_bar


class CellProgress(Protocol):
    """A display of the work that is done; a context manager around the benchmark."""

    def show(self, share: float, doing: str) -> None:
        """Display the share of the work that is done, in [0, 1], and what comes next."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class PlainCells:
    """Lines of text, for logs: one every ``period`` [s]."""

    def __init__(self, stream: TextIO | None = None, period: float = 15.0) -> None:
        self._lines = Lines(stream, period)
        self._began: float | None = None
        self._first = 0.0

    def show(self, share: float, doing: str) -> None:
        """Write a line if one is due."""
        now = time.monotonic()
        if self._began is None:
            # A resumed benchmark begins with a share that cost no time now.
            self._began, self._first = now, share
            return
        left = time_left(now - self._began, share - self._first, 1 - share)
        self._lines.write(f"{share:.0%} done, {left} left; next: {doing}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to take down."""


class LiveCells:
    """A live bar with the time left, for terminals; ``console`` is rich's."""

    def __init__(self, console: Any) -> None:
        self._bar = live_bar(console, "{task.description}")
        self._task = self._bar.add_task("", total=1.0)

    def show(self, share: float, doing: str) -> None:
        """Update the bar."""
        self._bar.update(self._task, completed=share, description=doing)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()


def time_left(seconds: float, done: float, left: float) -> str:
    """How long the rest takes at the present speed, as "3 min 20 s"."""
    if done <= 0:
        return "unknown time"
    rest = round(seconds / done * left)
    return f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"


def make_cell_progress(console: Any) -> CellProgress:
    """A live bar on a terminal, plain lines elsewhere; ``console`` is rich's."""
    return LiveCells(console) if console.is_terminal else PlainCells()
