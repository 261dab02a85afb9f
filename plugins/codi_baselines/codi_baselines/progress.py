"""Tells a human how far a benchmark is and how long it will take."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType
from typing import Any, Protocol, Self, TextIO


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
        self._stream = stream or sys.stderr
        self._period = period
        self._began: float | None = None
        self._first = self._next = 0.0

    def show(self, share: float, doing: str) -> None:
        """Write a line if one is due."""
        now = time.monotonic()
        if self._began is None:
            # A resumed benchmark begins with a share that cost no time now.
            self._began, self._first, self._next = now, share, now + self._period
            return
        if now < self._next:
            return
        self._next = now + self._period
        left = time_left(now - self._began, share - self._first, 1 - share)
        # The reader of a log may have gone; that must not end the benchmark.
        with contextlib.suppress(OSError):
            print(f"{share:.0%} done, {left} left; next: {doing}", file=self._stream, flush=True)

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
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=console,
        )
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
