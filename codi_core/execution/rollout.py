"""What a run of the loop leaves behind, and what it tells on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codi_core.execution.endings import Events
from codi_core.execution.schedule import ScheduledChunks
from codi_core.tasks.environment import Step


@attrs.frozen
class Replan:
    """What was measured while one plan was made.

    Attributes:
        time: when its observation was made [s].
        seconds: the wall time of planning [s], and of foreseeing the state if the plan is late.
        counts: the plan's counters, over all worlds that were planned for.
        stages: seconds by stage, of the GPU where it does the work.
        series: named values at each denoising step, means over those worlds.
        worlds: how many worlds were planned for; in others the task was done.
        start: when it was foreseen to start [s].
        delay: how long it took to arrive [s]: the fixed latency, or what was measured.
        dropped: how many of its actions were dropped, because their time had passed when it
            arrived; -1 if it came too late to be followed at all.
    """

    time: float
    seconds: float
    counts: Mapping[str, int]
    stages: Mapping[str, float]
    series: Mapping[str, tuple[float, ...]]
    worlds: int
    start: float = 0.0
    delay: float = 0.0
    dropped: int = 0


@attrs.frozen
class Rollout:
    """B episodes as they happened.

    Attributes:
        events: the environment's events, arrays (T + 1, B, ...), the first row at the reset. A
            control step that the loop missed on the wall clock has the row of the next one.
        lengths: (B,), how many rows belong to each world's episode.
        replans: one entry a plan.
        failures: by world, why its episode was ended by the loop: a plan that broke, or came too
            late. None if it wasn't.
        missed: how many control steps the loop missed on the wall clock.
    """

    events: Events
    lengths: NDArray[np.int64]
    replans: tuple[Replan, ...]
    failures: tuple[str | None, ...] = attrs.field()
    missed: int = 0

    @failures.default
    def _none(self) -> tuple[str | None, ...]:
        return (None,) * len(self.lengths)

    @property
    def delays(self) -> tuple[float, ...]:
        """The delay of each plan [s]; another run that is given them replays this one."""
        return tuple(replan.delay for replan in self.replans)


@attrs.frozen(eq=False)
class ControlStep:
    """One control step of B worlds, told when it is over.

    Attributes:
        tick: its number, from 1. A gap in the numbers is a step that was missed on the wall clock.
        before: what was observed at its beginning.
        actions: what was executed, (B, A_i) an agent, physical units.
        plans: (B,), the number of the plan that each world's actions came from, from 0. Worlds
            whose episode is over repeat an old one.
        after: what was observed at its end.
        followed: the chunks that the actions were taken from; the same object until the next ones
            take over.
    """

    tick: int
    before: Step
    actions: tuple[Tensor, ...]
    plans: NDArray[np.int64]
    after: Step
    followed: ScheduledChunks | None = None


Observer = Callable[[ControlStep], None]
"""Told about each control step: for progress, for recording."""
