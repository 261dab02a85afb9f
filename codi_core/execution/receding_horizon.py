"""The closed loop: observe, plan K actions, execute E of them, plan again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.errors import SpecificationError, UsageError
from codi_core.execution.endings import Endings, Events
from codi_core.execution.history import History
from codi_core.execution.placement import to_device
from codi_core.planning import NoiseSource, Observation, Plan, PlanContext, Planner
from codi_core.tasks.environment import EpisodeKey, Step
from codi_core.tasks.plant import Plant
from codi_core.tasks.task import Advance

OnStep = Callable[[int, Step], None]
"""Called after each control step with its number, from 1, and what was observed then."""


@runtime_checkable
class Divisible(Protocol):
    """A state of B worlds that some of them can be taken out of."""

    def of_worlds(self, rows: Tensor) -> Any:
        """The state of the worlds with the numbers ``rows``, (b,), alone."""


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
        latency: how long a plan takes to arrive [s]. A plan made from the observation at time t
            takes effect at t + latency, rounded up to whole control periods. Meanwhile the
            previous plan goes on. The next plan is begun in time for E executed actions, but not
            before this one has arrived: with a latency longer than them, as many actions are
            executed as the latency has control periods. Episodes start when their first plan has
            arrived: agents at rest wait for it.
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
    latency: float = 0.0
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
    def latency_steps(self) -> int:
        """The latency in control periods, rounded up."""
        return math.ceil(self.latency * self.rate_hz - 1e-9)

    @property
    def executed(self) -> int:
        """How many actions of each plan are executed: E, or those that the latency takes."""
        return max(self.execute, self.latency_steps)

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
        usable = self.horizon + self.offset
        if self.execute < 1 or self.executed > usable:
            raise UsageError(
                f"a plan has {usable} usable actions, but --execute {self.execute} and --latency "
                f"{self.latency:g} s ({self.latency_steps} control steps) take {self.executed}: "
                "lower the greater one"
            )
        if self.latency_steps and not can_advance:
            raise UsageError(
                "this task can't foresee its state (its parts have no `advance`), "
                "so --latency must be 0"
            )


@attrs.frozen
class Replan:
    """What was measured while one plan was made.

    Attributes:
        time: when its observation was made [s].
        seconds: the wall time of planning [s], and of foreseeing the state if the plan is late.
        counts: the plan's counters, over all worlds that were planned for.
        stages: wall seconds by stage.
        series: named values at each denoising step, means over those worlds.
        worlds: how many worlds were planned for.
    """

    time: float
    seconds: float
    counts: Mapping[str, int]
    stages: Mapping[str, float]
    series: Mapping[str, tuple[float, ...]]
    worlds: int


@attrs.frozen
class Rollout:
    """B episodes as they happened.

    Attributes:
        events: the environment's events, arrays (T + 1, B, ...), the first row at the reset.
        lengths: (B,), how many rows belong to each world's episode.
        replans: one entry a plan.
    """

    events: Events
    lengths: NDArray[np.int64]
    replans: tuple[Replan, ...]


class RecedingHorizon:
    """Executes plans in closed loop.

    Args:
        planner: makes the plans.
        settings: how the loop runs.
        advance: foresees the state at which a late plan starts.

    Raises:
        UsageError: the settings contradict one another or need ``advance``.
    """

    def __init__(
        self, planner: Planner, settings: LoopSettings, advance: Advance | None = None
    ) -> None:
        settings.check(advance is not None)
        self.planner = planner
        self.settings = settings
        self.advance = advance

    def run(
        self, plant: Plant, episodes: Sequence[EpisodeKey], on_step: OnStep | None = None
    ) -> Rollout:
        """Run until the time limit, or until the episodes of all worlds are over.

        A world whose episode is over is planned for no more if the task's state can be taken apart
        (:class:`Divisible`); it repeats its last plan.

        Args:
            plant: B worlds at the start of their episodes.
            episodes: their keys, from which the planning noise derives.
            on_step: told about each control step.
        """
        return _Run(self, plant, episodes).run(on_step)


class _Run:
    """The state of one run of the loop."""

    def __init__(self, loop: RecedingHorizon, plant: Plant, episodes: Sequence[EpisodeKey]) -> None:
        self.loop, self.plant, self.episodes = loop, plant, episodes
        self.settings = loop.settings
        self.history = History(self.settings.history)
        self.endings = Endings(self.settings.steps_after_success)
        self.previous: Plan | None = None
        self.start = 0
        self.replans: list[Replan] = []

    def run(self, on_step: OnStep | None) -> Rollout:
        settings, endings = self.settings, self.endings
        step = self.plant.observe(0.0)
        self.history.push(step.observation)
        events, next_plan = [_copied(step.events)], 0
        endings.note(step.events)
        for tick in range(settings.steps):
            # The first plan is waited for; if plans are late, the second one is begun at once.
            while tick == next_plan:
                self._replan(step, tick)
                next_plan = self.start + settings.executed - settings.latency_steps
            step = self.plant.observe((tick + 1) / settings.rate_hz)
            self.history.push(step.observation)
            events.append(_copied(step.events))
            if on_step is not None:
                on_step(tick + 1, step)
            if endings.note(step.events):
                break
        lengths = endings.lengths(len(self.episodes))
        return Rollout(_stacked(events), lengths, tuple(self.replans))

    def _replan(self, step: Step, tick: int) -> None:
        began = time.perf_counter()
        delay = 0 if self.previous is None else self.settings.latency_steps
        state, observation = self._foreseen(step, tick, delay)
        rows = self._open(state)
        context = self._context(state, observation, tick + delay, rows)
        plan = self.loop.planner.plan(context)
        seconds = time.perf_counter() - began
        self.replans.append(_replan_record(step.time, seconds, plan))
        if rows is not None and self.previous is not None:
            plan = _over(self.previous, plan, rows)
        self.previous, self.start = plan, tick + delay
        self.plant.command(self._usable(plan.chunks), self.start / self.settings.rate_hz)

    def _open(self, state: Any) -> Tensor | None:
        """The numbers of the worlds to plan for, (b,); None stands for all."""
        goes_on = self.endings.going_on(len(self.episodes))
        if self.previous is None or goes_on.all() or not isinstance(state, Divisible):
            return None
        return torch.from_numpy(np.flatnonzero(goes_on))

    def _context(
        self, state: Any, observation: Observation, start: int, rows: Tensor | None
    ) -> PlanContext:
        replan, device = len(self.replans), self.settings.device
        episodes, previous = self.episodes, None if self.previous is None else self.previous.flat
        if rows is not None:
            state = state.of_worlds(rows)
            observation = {name: value[rows] for name, value in observation.items()}
            episodes = [episodes[row] for row in rows.tolist()]
            previous = None if previous is None else previous[rows.to(previous.device)]
        return PlanContext(
            noise=NoiseSource([(key.seed, key.episode, replan) for key in episodes], device),
            observation=to_device(observation, device),
            layout=self.loop.planner.layout,
            state=to_device(state, device),
            previous=previous,
            committed=0 if self.previous is None else start - self.start,
        )

    def _foreseen(self, step: Step, tick: int, delay: int) -> tuple[Any, Observation]:
        """The state and the observations when the plan takes effect, ``delay`` steps ahead."""
        if delay == 0:
            return step.state, self.history.stacked()
        assert self.previous is not None
        assert self.loop.advance is not None
        first = tick - self.start
        committed = tuple(
            chunk[:, first : first + delay].cpu() for chunk in self._usable(self.previous.chunks)
        )
        # A history needs the observations on the way; a single one is foreseen in one call.
        pieces = delay if self.settings.history > 1 else 1
        state, history = step.state, self.history.copy()
        for piece in zip(*(chunk.chunk(pieces, 1) for chunk in committed), strict=True):
            state, observation = self.loop.advance(state, piece)
            history.push(observation)
        return state, history.stacked()

    def _usable(self, chunks: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(chunk[:, -self.settings.offset :].cpu() for chunk in chunks)


def _over(before: Plan, plan: Plan, rows: Tensor) -> Plan:
    """A plan for all worlds: the new one for worlds ``rows``, the one before it for the others."""

    def put(old: Tensor, new: Tensor) -> Tensor:
        return old.index_copy(0, rows.to(old.device), new)

    chunks = tuple(put(*pair) for pair in zip(before.chunks, plan.chunks, strict=True))
    return attrs.evolve(plan, chunks=chunks, flat=put(before.flat, plan.flat))


def _copied(events: Events) -> Events:
    # Simulators hand out live views; what happened must not change afterwards.
    return {name: np.array(value) for name, value in events.items()}


def _stacked(events: Sequence[Events]) -> Events:
    return {name: np.stack([event[name] for event in events]) for name in events[0]}


def _replan_record(at: float, seconds: float, plan: Plan) -> Replan:
    diagnostics, worlds = plan.diagnostics, len(plan.flat)
    series = {
        name: tuple(torch.stack(values).double().mean(1).tolist())
        for name, values in diagnostics.series.items()
        if values
    }
    counts, stages = dict(diagnostics.counts), dict(diagnostics.seconds)
    return Replan(at, seconds, counts, stages, series, worlds)
