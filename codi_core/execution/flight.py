"""A plan that is being made."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future

import attrs
import torch

from codi_core.execution.finishing import DONE
from codi_core.execution.plan_request import PlanReply
from codi_core.execution.rollout import Replan


@attrs.frozen(eq=False)
class Flight:
    """A plan between its request and its arrival.

    Attributes:
        tick: the control step at which it was begun.
        time: when its observation was made [s].
        start: the control step from which it is to be followed.
        worlds: the numbers of the worlds that are planned for.
        future: what becomes of it.
        began: the seconds of ``time.perf_counter`` at which it was begun.
        pace: how many real seconds a second of the plant takes.
    """

    tick: int
    time: float
    start: int
    worlds: Sequence[int]
    future: Future[PlanReply]
    began: float
    pace: float = 1.0

    @property
    def age(self) -> float:
        """How long it has been made, in the plant's seconds."""
        return (time.perf_counter() - self.began) / self.pace

    def replan(self, reply: PlanReply, delay: float, dropped: int, rate_hz: float) -> Replan:
        """What was measured while the plan was made."""
        diagnostics = reply.plan.diagnostics
        series = {
            name: tuple(torch.stack(values).double().mean(1).tolist())
            for name, values in diagnostics.series.items()
            if values
        }
        return Replan(
            time=self.time,
            seconds=reply.seconds,
            counts=dict(diagnostics.counts),
            stages=dict(diagnostics.seconds),
            series=series,
            worlds=len(reply.plan.flat) - diagnostics.counts[DONE],
            start=self.start / rate_hz,
            delay=delay,
            dropped=dropped,
        )
