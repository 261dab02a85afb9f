"""What is measured during a plan, kept apart from what is carried from plan to plan."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager

import attrs
import torch
from torch import Tensor

from codi_core.planning.stopwatch import HostStopwatch, Stopwatch
from codi_core.resources import can_branch_on


@attrs.define
class Diagnostics:
    """A sink that one plan's parts write into.

    Attributes:
        series: named values, one (B,) tensor per denoising step, in the order of the steps.
        stopwatch: times the stages of the plan.
    """

    series: dict[str, list[Tensor]] = attrs.field(factory=lambda: defaultdict(list))
    stopwatch: Stopwatch = attrs.field(factory=HostStopwatch)
    _counts: Counter[str] = attrs.field(factory=Counter)
    _uncounted: list[tuple[str, Tensor]] = attrs.field(factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Named counters of events, such as samples lost to a NaN cost.

        To look at them waits for the device that counts.
        """
        pending, self._uncounted = self._uncounted, []
        if pending:
            amounts = torch.stack([amount.reshape(()).long() for _, amount in pending]).tolist()
            for (name, _), amount in zip(pending, amounts, strict=True):
                self._add(name, amount)
        return self._counts

    @property
    def seconds(self) -> dict[str, float]:
        """Time [s] per stage of the plan, on a GPU the GPU's: to look at it waits for that."""
        return self.stopwatch.seconds

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

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time what happens inside, under the stage's name."""
        return self.stopwatch.stage(name)

    def means(self) -> Mapping[str, float]:
        """The mean of each series over worlds and steps; the numbers that reports plot."""
        return {
            name: float(sum(float(value.mean()) for value in values) / len(values))
            for name, values in self.series.items()
            if values
        }
