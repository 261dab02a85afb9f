"""Checks that a plant keeps its contract: one call in a driver author's tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.execution import ControlStep, LoopSettings, RecedingHorizon
from codi_core.execution.messages import packed
from codi_core.planning import ChunkLayout, Plan, PlanContext, Planner
from codi_core.tasks import EpisodeKey, Plant, Step
from codi_core.testing.requirement import ConformanceError, require

HORIZON = 16
FINAL = ("observe", "command", "stop", "__enter__", "__exit__")


def check_plant(
    make_plant: Callable[[], Plant], actions: Sequence[Tensor], rate_hz: float, steps: int = 8
) -> None:
    """Drive a plant for some control steps, and check what it is told and what it answers.

    Four plants are made, one after the other. On the wall clock it takes that time.

    Args:
        make_plant: makes a fresh plant, at rest at the start of an episode.
        actions: one harmless action an agent, (B, A_i), that can be repeated.
        rate_hz: the control rate [Hz].
        steps: how many control steps it is driven for.
    """
    name = _check_class(make_plant())
    _check_loop(name, make_plant(), actions, rate_hz, steps)
    _check_refusals(name, make_plant(), actions, rate_hz)
    _check_exit(name, make_plant())


def _check_class(plant: object) -> str:
    name = type(plant).__name__
    require(isinstance(plant, Plant), f"{name} must be a codi_core.Plant")
    for method in FINAL:
        require(
            getattr(type(plant), method) is getattr(Plant, method),
            f"{name}.{method}() is final: write _observe() and _follow(), which it calls",
        )
    require(
        hasattr(plant, "clock"), f"{name}.__init__() must call super().__init__(), which has clock"
    )
    assert isinstance(plant, Plant)
    with plant:
        pass
    return name


def _check_loop(
    name: str, plant: Plant, actions: Sequence[Tensor], rate_hz: float, steps: int
) -> None:
    """The closed loop can drive it, and it is told all in order, with one stop at the end."""
    told, worlds = _Told(plant, rate_hz), len(actions[0])
    steps_told: list[ControlStep] = []
    observed: list[tuple[Step, bytes]] = []

    def observer(step: ControlStep) -> None:
        steps_told.append(step)
        # The loop's own steps are copies.
        observed.append((told.latest, _sent(name, told.latest)))

    _check_step(name, plant.observe(0.0), worlds)
    settings = LoopSettings(rate_hz, HORIZON, 2, steps / rate_hz)
    keys = [EpisodeKey(0, world) for world in range(worlds)]
    rollout = RecedingHorizon(_Repeating(actions, rate_hz), settings).run(plant, keys, observer)
    require(
        not any(rollout.failures),
        f"{name}: the episode was ended early: {rollout.failures}",
    )
    require(
        plant.clock.virtual or told.slowest < max(1 / rate_hz, 0.1),
        f"{name}._follow() took {told.slowest:.3f} s to take chunks: it must return at once",
    )
    require(
        rollout.missed < steps / 2,
        f"{name}: {rollout.missed} of {steps} control steps were missed: observing must take less "
        f"than a control period ({1 / rate_hz:g} s)",
    )
    for step in steps_told:
        _check_step(name, step.after, worlds)
        _check_time(name, plant, step, rate_hz)
    for seen, before in observed:
        require(
            _sent(name, seen) == before,
            f"{name}: what it observed has changed afterwards; hand out copies, since it is read "
            "while the plant goes on",
        )
    starts = [start for chunks, start in told.calls if chunks is not None]
    require(
        starts == sorted(set(starts)), f"{name} was told chunks out of order or twice: {starts}"
    )
    rests = [index for index, (chunks, _) in enumerate(told.calls) if chunks is None]
    require(
        rests == [len(told.calls) - 1],
        f"{name}: _follow() must get None once, at the end of the episode",
    )


def _check_refusals(name: str, plant: Plant, actions: Sequence[Tensor], rate_hz: float) -> None:
    """It refuses what is late, out of order, or after the stop; and it rests without a plan."""
    told = _Told(plant, rate_hz)
    chunks = tuple(action.unsqueeze(1).repeat(1, 3, 1) for action in actions)
    with plant:
        plant.observe(0.0)
        require(plant.command(chunks, 0.0) == 0.0, f"{name} refused the first command")
        with _refused(f"{name} accepted two chunks for the same time"):
            plant.command(chunks, 0.0)
        plant.observe(2 / rate_hz)
        late = plant.command(chunks, 1 / rate_hz)
        require(late > 0, f"{name} accepted a chunk whose time had passed")
        require(len(told.calls) == 1, f"{name} was told a chunk that had been refused")
        if not plant.clock.virtual:
            plant.observe(4 / rate_hz)  # one period beyond the last action
            began = time.monotonic()
            plant.observe(0.0)
            require(
                time.monotonic() - began < 1 + 1 / rate_hz,
                f"{name} waits for a time that has passed; _observe() must not wait",
            )
        plant.stop()
        plant.stop()
        require(len(told.calls) == 2, f"{name} was told twice to come to rest")
        with _refused(f"{name} accepted a command after its stop"):
            plant.command(chunks, 100.0)
    require(len(told.calls) == 2, f"{name} was told something after its stop: {told.calls[2:]}")


def _check_exit(name: str, plant: Plant) -> None:
    """Whatever ends an episode, the plant is stopped."""
    with suppress(_EndedError), plant:
        raise _EndedError
    require(plant.stopped, f"{name} was not stopped when an error ended its episode")


class _EndedError(Exception):
    """Ends an episode."""


class _Told:
    """Notes what a plant is told to follow, how long it takes to take it [s], and what it sees."""

    def __init__(self, plant: Plant, rate_hz: float) -> None:
        self.calls: list[tuple[tuple[Tensor, ...] | None, float]] = []
        self.slowest = 0.0
        self.latest: Step
        self._follow, self._observe = plant._follow, plant._observe
        plant._follow, plant._observe = self._note, self._look  # type: ignore[method-assign]

    def _note(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        self.calls.append((chunks, start))
        began = time.monotonic()
        self._follow(chunks, start)
        if chunks is not None:
            self.slowest = max(self.slowest, time.monotonic() - began)

    def _look(self, until: float) -> Step:
        self.latest = self._observe(until)
        return self.latest


class _Repeating(Planner):
    """Repeats one action."""

    def __init__(self, actions: Sequence[Tensor], rate_hz: float) -> None:
        sizes = tuple(action.shape[-1] for action in actions)
        ends = [HORIZON * sum(sizes[: agent + 1]) for agent in range(len(sizes))]
        blocks = tuple(
            slice(end - HORIZON * size, end) for end, size in zip(ends, sizes, strict=True)
        )
        agents = tuple((agent,) for agent in range(len(sizes)))
        self.layout = ChunkLayout(agents, blocks, sizes, HORIZON, rate_hz)
        self._actions = actions

    def plan(self, context: PlanContext) -> Plan:
        """The action, K times."""
        chunks = tuple(action.unsqueeze(1).repeat(1, HORIZON, 1) for action in self._actions)
        flat = torch.cat([chunk.flatten(1) for chunk in chunks], 1)
        return Plan(chunks, flat, context.diagnostics)


def _check_step(name: str, step: object, worlds: int) -> None:
    require(isinstance(step, Step), f"{name} observed a {type(step).__name__}, not a Step")
    assert isinstance(step, Step)
    named: dict[str, Any] = {
        **step.events,
        **{f"observation {key}": v for key, v in step.observation.items()},
    }
    for key, value in named.items():
        require(
            np.shape(value)[:1] == (worlds,),
            f"{name}: '{key}' has the shape {tuple(np.shape(value))}; it must begin with the "
            f"{worlds} worlds",
        )
    for key, value in step.observation.items():
        require(torch.isfinite(value).all(), f"{name}: the observation '{key}' is not finite")


def _sent(name: str, step: Step) -> bytes:
    """What goes to a plan process."""
    try:
        return packed((step.state, step.observation))
    except Exception as error:
        raise ConformanceError(
            f"{name}: what it observes can't be sent to another process: {error}"
        ) from error


def _check_time(name: str, plant: Plant, step: ControlStep, rate_hz: float) -> None:
    before, after = step.before.time, step.after.time
    require(after > before, f"{name}: its time stands still: {before:.3f} s, then {after:.3f} s")
    require(
        not plant.clock.virtual or abs(after - step.tick / rate_hz) < 1e-6,
        f"{name} was to observe at {step.tick / rate_hz:.3f} s, and did so at {after:.3f} s",
    )


@contextmanager
def _refused(message: str) -> Iterator[None]:
    try:
        yield
    except SpecificationError:
        return
    require(False, message)
