"""Plants and planners on the wall clock, some of them deliberately bad."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codi_core.execution import PlanMaker
from codi_core.planning import ChunkLayout, Plan, PlanContext, Planner
from codi_core.tasks import Plant, Step, WallClock

RATE = 50.0
HORIZON = 40  # 0.8 s: no busy machine holds up a plan for so long
LAYOUT = ChunkLayout(((0,),), (slice(0, HORIZON),), (1,), HORIZON, RATE)


class LoggingPlant(Plant):
    """One world that logs what its author's methods are told.

    Its state is the control step that is nearest to the time of its observation.
    """

    def __init__(self, rate: float = RATE, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.rate = rate
        self.followed: list[tuple[float, tuple[float, ...]]] = []
        self.observed: list[float] = []
        self.rests = 0

    def _observe(self, until: float) -> Step:
        now = self.clock.now()
        self.observed.append(now)
        state = torch.full((1,), float(round(now * self.rate)))
        return Step(now, state, {"tick": state[:, None]}, {"tick": state.numpy()})

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        assert self.rests == 0, "told something after the stop"
        if chunks is None:
            self.rests += 1
        else:
            self.followed.append((start, tuple(chunks[0][0, :, 0].tolist())))


class SilentPlant(LoggingPlant):
    """Stops answering after some observations."""

    def __init__(self, answers: int, **arguments: Any) -> None:
        super().__init__(patience=0.1, **arguments)
        self.answers = answers

    def _observe(self, until: float) -> Step:
        if len(self.observed) >= self.answers:
            time.sleep(1.0)
        return super()._observe(until)


class StalePlant(LoggingPlant):
    """Shows what it saw first, again and again."""

    def __init__(self) -> None:
        super().__init__(patience=0.1)
        self.first: Step | None = None

    def _observe(self, until: float) -> Step:
        self.first = self.first or super()._observe(until)
        return self.first


class ThrowingPlant(LoggingPlant):
    """Raises after some observations, or in the commands after the first ones."""

    def __init__(self, observations: int = 10**6, commands: int = 10**6) -> None:
        super().__init__()
        self.left = {"observations": observations, "commands": commands}

    def _count(self, what: str) -> None:
        self.left[what] -= 1
        if self.left[what] < 0:
            raise OSError("the cable is loose")

    def _observe(self, until: float) -> Step:
        self._count("observations")
        return super()._observe(until)

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        if chunks is not None:
            self._count("commands")
        super()._follow(chunks, start)


class JumpingPlant(LoggingPlant):
    """Its clock jumps by some seconds when it has run for 0.1 s."""

    def __init__(self, jump: float) -> None:
        self.jump = 0.0
        super().__init__(clock=WallClock(lambda: time.monotonic() + self.jump))
        self.by = jump

    def _observe(self, until: float) -> Step:
        step = super()._observe(until)
        if step.time > 0.1:
            self.jump = self.by
        return step


class DutifulPlanner(Planner):
    """Each action is the number of the control step that it is meant for.

    Args:
        pause: called with the number of each plan; takes its time, or raises.
    """

    layout = LAYOUT

    def __init__(self, pause: Callable[[int], None] = lambda number: None) -> None:
        self.pause = pause
        self.contexts: list[PlanContext] = []

    def plan(self, context: PlanContext) -> Plan:
        self.contexts.append(context)
        self.pause(len(self.contexts) - 1)
        chunk = context.state[:, None] + torch.arange(float(HORIZON))
        return Plan((chunk[..., None],), chunk, context.diagnostics)


def advance(state: Tensor, chunks: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """As many control steps later, if the actions are those meant for these steps."""
    expected = state[:, None] + torch.arange(float(chunks[0].shape[1]))
    assert torch.equal(chunks[0][..., 0], expected)
    after = state + chunks[0].shape[1]
    return after, {"tick": after[:, None]}


def dutiful() -> PlanMaker:
    """What plans in another process."""
    return PlanMaker(DutifulPlanner(), advance)


def failing_at_home() -> PlanMaker:
    """What can't be made there."""
    raise FileNotFoundError("there is no such checkpoint")


class Refusing(DutifulPlanner):
    """Raises in its second plan."""

    def plan(self, context: PlanContext) -> Plan:
        if self.contexts:
            raise ValueError("not that state")
        return super().plan(context)


def refusing() -> PlanMaker:
    """What plans once in another process."""
    return PlanMaker(Refusing(), advance)


class Hanging(DutifulPlanner):
    """Never finishes its second plan."""

    def plan(self, context: PlanContext) -> Plan:
        if self.contexts:
            time.sleep(1000)
        return super().plan(context)


def hanging() -> PlanMaker:
    """What plans once in another process, and then hangs."""
    return PlanMaker(Hanging(), advance)


def meant_for(followed: list[tuple[float, tuple[float, ...]]], rate: float = RATE) -> list[float]:
    """How many control steps off its time each chunk's first action is: 0 where all is well."""
    return [float(np.round(start * rate)) - actions[0] for start, actions in followed]
