"""How long the stages of a plan take, on the host or on the GPU that does the work.

A GPU works while the host goes on, so the host's time says when work was asked for, not when it was
done. There, marks are left in the queue of the work, and their times are read when they have
passed.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


class Stopwatch(ABC):
    """Adds up the times of named stages."""

    @property
    @abstractmethod
    def seconds(self) -> dict[str, float]:
        """The time [s] per stage. Waits for the device until the stages have passed there."""

    @abstractmethod
    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time what happens inside, under the stage's name."""


def stopwatch_of(device: torch.device) -> Stopwatch:
    """What times work on a device."""
    return CudaStopwatch(device) if device.type == "cuda" else HostStopwatch()


class HostStopwatch(Stopwatch):
    """The wall time of the host."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)

    @property
    def seconds(self) -> dict[str, float]:
        """The wall time [s] per stage."""
        return self._seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, under the stage's name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - start


class CudaStopwatch(Stopwatch):
    """The time between marks in the queue of a GPU's work, pauses between its kernels included.

    Of what is recorded as a CUDA graph nothing is timed: a replay reaches no marks.

    Args:
        device: the GPU. Its present stream is the queue.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._passing: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @property
    def seconds(self) -> dict[str, float]:
        """The device's time [s] per stage. Waits until the stages have passed."""
        passing, self._passing = self._passing, []
        for name, start, end in passing:
            end.synchronize()
            self._seconds[name] += start.elapsed_time(end) / 1e3
        return self._seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, under the stage's name."""
        if torch.cuda.is_current_stream_capturing():
            yield
            return
        start = self._mark()
        try:
            yield
        finally:
            self._passing.append((name, start, self._mark()))

    def __getstate__(self) -> dict[str, Any]:
        # Marks belong to this process: what is sent to another one is what they tell.
        return {"device": self.device, "_seconds": self.seconds, "_passing": []}

    def _mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event
