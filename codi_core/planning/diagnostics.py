"""What is measured during a plan, kept apart from what is carried from plan to plan."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs
from torch import Tensor


@attrs.define
class Diagnostics:
    """A sink that one plan's parts write into.

    Attributes:
        series: named values, one (B,) tensor per denoising step, in the order of the steps.
        counts: named counters of events, such as samples lost to a NaN cost.
        seconds: wall time [s] per stage of the plan.
    """

    series: dict[str, list[Tensor]] = attrs.field(factory=lambda: defaultdict(list))
    counts: Counter[str] = attrs.field(factory=Counter)
    seconds: dict[str, float] = attrs.field(factory=lambda: defaultdict(float))

    def record(self, name: str, value: Tensor) -> None:
        """Append a (B,) value, measured at the present denoising step."""
        self.series[name].append(value)

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter. A zero amount leaves no entry."""
        if amount:
            self.counts[name] += amount

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside, under the stage's name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def means(self) -> Mapping[str, float]:
        """The mean of each series over worlds and steps; the numbers that reports plot."""
        return {
            name: float(sum(float(value.mean()) for value in values) / len(values))
            for name, values in self.series.items()
            if values
        }
