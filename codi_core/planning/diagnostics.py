"""What is measured during a plan, kept apart from what is carried from plan to plan."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs
from torch import Tensor

from codi_core.resources import can_branch_on


@attrs.define
class Diagnostics:
    """A sink that one plan's parts write into.

    Attributes:
        series: named values, one (B,) tensor per denoising step, in the order of the steps.
        seconds: wall time [s] per stage of the plan.
    """

    series: dict[str, list[Tensor]] = attrs.field(factory=lambda: defaultdict(list))
    seconds: dict[str, float] = attrs.field(factory=lambda: defaultdict(float))
    _counts: Counter[str] = attrs.field(factory=Counter)
    _uncounted: list[tuple[str, Tensor]] = attrs.field(factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Named counters of events, such as samples lost to a NaN cost.

        To look at them waits for the device that counts.
        """
        pending, self._uncounted = self._uncounted, []
        for name, amount in pending:
            self._add(name, int(amount))
        return self._counts

    def copied(self) -> Diagnostics:
        """What was recorded and counted, in memory of its own; without the times."""
        return Diagnostics(
            series=defaultdict(
                list,
                {name: [value.clone() for value in values] for name, values in self.series.items()},
            ),
            counts=self._counts.copy(),
            uncounted=[(name, amount.clone()) for name, amount in self._uncounted],
        )

    def record(self, name: str, value: Tensor) -> None:
        """Append a (B,) value, measured at the present denoising step."""
        self.series[name].append(value)

    def count(self, name: str, amount: int | Tensor = 1) -> None:
        """Add to a counter. A zero amount leaves no entry; one on a GPU is read later."""
        if isinstance(amount, Tensor) and not can_branch_on(amount):
            self._uncounted.append((name, amount))
        else:
            self._add(name, int(amount))

    def _add(self, name: str, amount: int) -> None:
        if amount:
            self._counts[name] += amount

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
