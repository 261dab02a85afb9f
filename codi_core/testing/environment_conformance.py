"""Checks that worlds of a batch are worlds apart: one call in a plugin author's tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codi_core.tasks import Environment, EpisodeKey, Step
from codi_core.testing.requirement import require

KEYS = (EpisodeKey(0, 0), EpisodeKey(0, 1))
NEXT = EpisodeKey(0, 2)
"""What a world starts with anew."""

Actions = Sequence[tuple[Tensor, ...]]
"""One entry per control step: one action per agent, (2, A_i) each."""


def check_environment(make: Callable[[], Environment], actions: Actions, rate_hz: float) -> None:
    """Check shapes and times, what episodes derive from, and that worlds don't know each other.

    Two worlds are driven together, each alone, and with one of them starting anew in the middle.

    Args:
        make: makes an environment.
        actions: what two worlds do, of at least one control step.
        rate_hz: the control rate [Hz].
    """
    environment = make()
    name = type(environment).__name__
    first = environment.reset(KEYS)
    _check_step(name, first, 0.0)
    seen = _copied(first)
    steps = [seen, *_driven(name, environment, actions, rate_hz)]
    _require_equal(
        seen,
        environment.reset(KEYS),
        f"{name}: two resets with the same keys observe different things: all that is random must "
        "derive from the episodes' keys",
    )
    _check_alone(name, make(), steps, actions)
    _check_new_start(name, make, actions)


def _check_alone(
    name: str, environment: Environment, together: Sequence[Step], actions: Actions
) -> None:
    for row, key in enumerate(KEYS):
        alone = [environment.reset([key])]
        alone += [environment.step(_of_row(action, row)) for action in actions]
        for number, (one, both) in enumerate(zip(alone, together, strict=True)):
            _require_equal(
                one,
                both,
                f"{name}: a world alone differs from the same world in a batch, "
                f"{number} control steps after its start",
                (0, row),
            )


def _check_new_start(name: str, make: Callable[[], Environment], actions: Actions) -> None:
    environment, untouched, fresh = make(), make(), make()
    environment.reset(KEYS)
    untouched.reset(KEYS)
    for action in actions:
        environment.step(action)
        before = untouched.step(action)
    now = environment.reset([NEXT], rows=[1])
    started = fresh.reset([KEYS[0], NEXT])
    why = f"{name}: a reset of the second of two worlds"
    require(
        abs(now.time - before.time) < 1e-6,
        f"{why} changes the time from {before.time} s to {now.time} s: it counts from the reset "
        "of all worlds",
    )
    _require_equal(now, before, f"{why} touches the first one", (0, 0))
    _require_equal(now, started, f"{why} is no fresh start of its episode", (1, 1))
    for number, action in enumerate(actions, 1):
        now, before, started = (e.step(action) for e in (environment, untouched, fresh))
        later = f", {number} control steps later"
        _require_equal(now, before, f"{why} touches the first one{later}", (0, 0))
        _require_equal(now, started, f"{why} is no fresh start of its episode{later}", (1, 1))


def _driven(name: str, environment: Environment, actions: Actions, rate_hz: float) -> list[Step]:
    """The steps that actions lead to; simulators may hand out live views, so they are copied."""
    steps = []
    for number, action in enumerate(actions):
        step = environment.step(action)
        _check_step(name, step, (number + 1) / rate_hz)
        steps.append(_copied(step))
    return steps


def _check_step(name: str, step: Step, time: float) -> None:
    require(
        abs(step.time - time) < 1e-6,
        f"{name}: the environment's time is {step.time} s where {time} s have passed",
    )
    for key, value in step.observation.items():
        require(
            value.shape[:1] == (len(KEYS),),
            f"{name}: the observation '{key}' has the shape {tuple(value.shape)}; it must begin "
            f"with the {len(KEYS)} worlds",
        )
        require(torch.isfinite(value).all(), f"{name}: the observation '{key}' is not finite")
    for key, event in step.events.items():
        require(
            np.shape(event)[:1] == (len(KEYS),),
            f"{name}: the event '{key}' has the shape {np.shape(event)}; it must begin with the "
            f"{len(KEYS)} worlds",
        )


def _require_equal(
    first: Step, second: Step, message: str, rows: tuple[int, int] | None = None
) -> None:
    """Compare observations and events of all worlds, or of one world each.

    Events may be filled up to what the largest world of a batch needs: those of other shapes are
    not compared.
    """
    for one, other in ((first.observation, second.observation), (first.events, second.events)):
        require(one.keys() == other.keys(), f"{message}: {sorted(one)} and {sorted(other)}")
        for name in one:
            mine, theirs = _array(one[name]), _array(other[name])
            if rows is not None:
                mine, theirs = mine[rows[0]], theirs[rows[1]]
            same = mine.shape != theirs.shape or np.allclose(
                mine, theirs, rtol=1e-4, atol=1e-4, equal_nan=True
            )
            require(same, f"{message}; '{name}' differs")


def _copied(step: Step) -> Step:
    observation = {name: value.clone() for name, value in step.observation.items()}
    events = {name: np.array(value) for name, value in step.events.items()}
    return Step(step.time, step.state, observation, events)


def _of_row(action: tuple[Tensor, ...], row: int) -> tuple[Tensor, ...]:
    return tuple(value[row : row + 1] for value in action)


def _array(value: Any) -> Any:
    return value.cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
