"""Tells a human how far a run is."""

from __future__ import annotations

import contextlib
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TextIO

from codi_core.tasks.metrics import EpisodeRecord


class Tally:
    """Counts what has been done so far."""

    def __init__(self) -> None:
        self.episodes = 0
        self.done = 0
        self.successes = 0
        self.steps_per_episode = 1
        self.worlds = 0
        self.tick = 0
        self.doing = ""
        self.world_steps = 0
        self.began = time.monotonic()

    def begin(self, episodes: int, steps: int, records: Sequence[EpisodeRecord]) -> None:
        """A run starts: how many episodes of how many steps, and those that are there already."""
        self.episodes, self.steps_per_episode = episodes, steps
        self.began = time.monotonic()
        self.count(records)

    def count(self, records: Sequence[EpisodeRecord]) -> None:
        """Episodes have finished."""
        self.done += len(records)
        self.successes += sum(bool(record["success"]) for record in records)
        self.worlds = self.tick = 0

    def step(self, tick: int) -> None:
        """All worlds of the wave have made their control step number ``tick``."""
        self.tick = tick
        self.world_steps += self.worlds

    @property
    def fraction(self) -> float:
        """The share of the run's control steps that are done, in [0, 1]."""
        if not self.episodes:
            return 1.0
        return min(
            1.0, (self.done + self.worlds * self.tick / self.steps_per_episode) / self.episodes
        )

    def text(self) -> str:
        """Success so far, speed, and what is being run, for people."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        said = [f"{self.successes}/{self.done} succeeded" if self.done else "none finished yet"]
        if self.world_steps:  # collecting does not tell its steps
            said.append(f"{self.world_steps / seconds:.0f} control steps/s")
        if self.doing:
            said.append(self.doing)
        return ", ".join(said)


class Progress(ABC):
    """A display of a run's progress; a context manager around the run."""

    def __init__(self) -> None:
        self.tally = Tally()

    @abstractmethod
    def show(self) -> None:
        """Display the tally."""

    @abstractmethod
    def close(self) -> None:
        """Take the display down."""

    def begin(self, episodes: int, steps: int, records: Sequence[EpisodeRecord]) -> None:
        """The run starts; ``records`` are its episodes that were there already."""
        self.tally.begin(episodes, steps, records)
        self.show()

    def wave(self, worlds: int, doing: str = "") -> None:
        """A wave of worlds starts; ``doing`` says of what, where there are several runs."""
        self.tally.worlds, self.tally.doing = worlds, doing

    def step(self, tick: int) -> None:
        """The wave has made its control step number ``tick``."""
        self.tally.step(tick)
        self.show()

    def finished(self, records: Sequence[EpisodeRecord]) -> None:
        """The wave has finished."""
        self.tally.count(records)
        self.show()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Silent(Progress):
    """Shows nothing."""

    def show(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """Lines of text, for logs: one every ``period`` [s]; what is written in between is lost."""

    def __init__(self, stream: TextIO | None = None, period: float = 15.0) -> None:
        self._stream = stream or sys.stderr
        self._period = period
        self._next = time.monotonic() + period

    def write(self, text: str, at_once: bool = False) -> None:
        """Write a line if one is due, or at once."""
        now = time.monotonic()
        if now < self._next and not at_once:
            return
        self._next = now + self._period
        # The reader of a log may have gone; that must not end the run.
        with contextlib.suppress(OSError):
            print(text, file=self._stream, flush=True)


def live_bar(console: Any, *columns: str) -> Any:
    """A bar of rich's with the time left, for terminals; its total is 1.

    Args:
        console: rich's.
        columns: texts around the bar, the first in front of it; ``{task.fields[NAME]}`` is filled
            in with what an update says.
    """
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    first, *others = (TextColumn(column) for column in columns)
    percent = TextColumn("{task.percentage:>3.0f}%")
    return Bar(first, BarColumn(), percent, *others, TimeRemainingColumn(), console=console)


class PlainProgress(Progress):
    """Lines of text, for logs: one every ``period`` [s], and one when a wave has finished."""

    def __init__(self, stream: TextIO | None = None, period: float = 15.0) -> None:
        super().__init__()
        self._lines = Lines(stream, period)
        self._shown = -1

    def show(self) -> None:
        """Write a line if one is due."""
        tally = self.tally
        self._lines.write(
            f"{tally.done}/{tally.episodes} episodes ({tally.fraction:.0%}), {tally.text()}",
            at_once=tally.done != self._shown,
        )
        self._shown = tally.done

    def close(self) -> None:
        """Nothing to take down."""


class RichProgress(Progress):
    """A live bar with the time left, for terminals."""

    def __init__(self, console: Any) -> None:
        super().__init__()
        self._bar = live_bar(console, "{task.fields[episodes]} episodes", "{task.fields[text]}")
        self._task = self._bar.add_task("", total=1.0, episodes="", text="")
        self._bar.start()

    def show(self) -> None:
        """Update the bar."""
        tally = self.tally
        self._bar.update(
            self._task,
            completed=tally.fraction,
            text=tally.text(),
            episodes=f"{tally.done}/{tally.episodes}",
        )

    def close(self) -> None:
        """Stop the live display."""
        self._bar.stop()


def make_progress(console: Any) -> Progress:
    """A live bar on a terminal, plain lines elsewhere; ``console`` is rich's."""
    return RichProgress(console) if console.is_terminal else PlainProgress()
