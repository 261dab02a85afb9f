"""How the closed loop runs."""

from __future__ import annotations

import math
from typing import Literal

import attrs

from codi_core.errors import SpecificationError, UsageError

MEASURED: Literal["measured"] = "measured"


@attrs.frozen
class LoopSettings:
    """How the loop runs.

    Attributes:
        rate_hz: the control rate [Hz].
        horizon: K, the number of actions in a chunk.
        execute: E, how many actions of a plan are executed before the next plan takes over.
        max_seconds: the time limit of an episode [s].
        after_success: how long an episode goes on after its success [s], if the environment tells
            when that is; None for up to the time limit.
        latency: how long a plan takes to arrive [s], or "measured". A plan made from the
            observation at time t takes effect at t + latency, rounded up to whole control periods.
            Meanwhile the previous plan goes on. The next plan is begun in time for E executed
            actions, but not before this one has taken effect: with a latency longer than them, as
            many actions are executed as the latency has control periods. Episodes start when their
            first plan has arrived: agents at rest wait for it. "measured" takes the seconds that
            planning really takes (see :class:`~codi_core.execution.delays.Delays`). On the wall
            clock they are measured in any case, and a number is the least that is expected.
        history: H, how many observations a plan sees; before the first one it is repeated.
        offset: the control step, relative to a plan's start, of the chunk's first action; at
            most 0. Actions for steps before the start are dropped.
        device: where plans are made.
    """

    rate_hz: float
    horizon: int
    execute: int
    max_seconds: float
    after_success: float | None = None
    latency: float | Literal["measured"] = 0.0
    history: int = 1
    offset: int = 0
    device: str = "cpu"

    @property
    def steps(self) -> int:
        """T, the number of control steps in an episode."""
        return max(1, round(self.max_seconds * self.rate_hz))

    @property
    def steps_after_success(self) -> int | None:
        """How many control steps an episode goes on after its success, or None."""
        return None if self.after_success is None else round(self.after_success * self.rate_hz)

    @property
    def least_latency(self) -> float:
        """The latency [s] if it is a number, else 0."""
        return 0.0 if self.latency == MEASURED else float(self.latency)

    def periods(self, seconds: float) -> int:
        """A duration in control periods, rounded up."""
        return math.ceil(seconds * self.rate_hz - 1e-9)

    def check(self, can_advance: bool) -> None:
        """Check that the settings fit together.

        Raises:
            UsageError: they ask for more actions than a plan has, or for a latency that the task
                can't foresee.
            SpecificationError: the chunks start in the future.
        """
        if self.offset > 0:
            raise SpecificationError(
                f"the policies' chunks start {self.offset} control steps after the plan "
                "(action offset): the loop needs an offset of at most 0"
            )
        usable, late = self.horizon + self.offset, self.periods(self.least_latency)
        if self.execute < 1 or max(self.execute, late) > usable:
            raise UsageError(
                f"a plan has {usable} usable actions, but --execute {self.execute} and --latency "
                f"{self.least_latency:g} s ({late} control steps) take {max(self.execute, late)}: "
                "lower the greater one"
            )
        if late and not can_advance:
            raise UsageError(
                "this task can't foresee its state (its parts have no `advance`), "
                "so --latency must be 0"
            )
