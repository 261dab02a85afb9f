"""The interface of simulated environments: batched worlds on a virtual clock."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Observation


@attrs.frozen
class EpisodeKey:
    """Names one episode; everything random in it derives from these two numbers.

    Attributes:
        seed: the run's seed.
        episode: the episode's number in the run, from 0.
    """

    seed: int
    episode: int


@attrs.frozen
class Step:
    """What B worlds look like at one instant.

    Attributes:
        time: virtual time since all worlds were reset [s].
        state: the task's typed state ESTIMATE, as a real system would have it, tensors (B, ...).
        observation: the joint observation made from that estimate, named tensors (B, ...)
            without a history axis; the execution loop keeps the history.
        events: measurements of the TRUE worlds at this instant, named arrays (B, ...): what
            metrics and pictures are made of. The boolean ``failed`` marks worlds that can no
            longer succeed (object lost, simulation diverged); its absence says none. The boolean
            ``succeeded`` marks worlds that have succeeded, for runs that end soon after that.
    """

    time: float
    state: Any
    observation: Observation
    events: Mapping[str, NDArray[np.generic]]


class Environment(ABC):
    """A batch of worlds in which actions have effects.

    A world that breaks is reported as failed and stays in the batch; it never raises. Whoever runs
    it copies what it returns, so it may write the next step into the same arrays: those of the
    events and the observation, and tensors that the state holds itself.
    """

    @abstractmethod
    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Start episodes, in all worlds or in some of them.

        Args:
            episodes: one key a world that starts.
            rows: the worlds that start, one a key; the others go on untouched. None starts all,
                and the number of keys sets the number of worlds B.

        Returns:
            What all B worlds look like now.
        """

    @abstractmethod
    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an agent, (B, A_i) each, for one control period."""


def check_step(step: object, name: str) -> Step:
    """An instant, checked: it has a time, tensors that are observed, and events.

    Args:
        step: what an environment or a plant has returned.
        name: how messages call it.

    Raises:
        SpecificationError: it is something else.
    """
    if not isinstance(step, Step):
        raise SpecificationError(f"{name} observed {_described(step)}; it must be a Step")
    found: tuple[tuple[str, object, type], ...] = (
        ("time", step.time, Real),
        ("observation", step.observation, Mapping),
        ("events", step.events, Mapping),
    )
    for field, value, kind in found:
        if not isinstance(value, kind):
            what = "a number of seconds" if field == "time" else "a mapping by names"
            raise SpecificationError(
                f"{name} observed a Step whose {field} is {_described(value)}; it must be {what}"
            )
    if not math.isfinite(step.time):
        raise SpecificationError(f"{name} observed a Step at the time {step.time}")
    for key, tensor in step.observation.items():
        if not isinstance(tensor, Tensor):
            raise SpecificationError(
                f"{name} observed '{key}' as {_described(tensor)}; it must be a tensor (B, ...)"
            )
    return step


def _described(value: object) -> str:
    return "None" if value is None else f"an instance of {type(value).__name__}"


def check_rows(rows: Sequence[int], episodes: Sequence[EpisodeKey], worlds: int) -> None:
    """Check what :meth:`Environment.reset` is told to start.

    Raises:
        SpecificationError: not one key a row, a row twice, or one that no world has.
    """
    if len(rows) != len(episodes):
        raise SpecificationError(
            f"a reset of {len(rows)} worlds needs one episode key a world, not {len(episodes)}"
        )
    if len(set(rows)) != len(rows) or not set(rows) <= set(range(worlds)):
        raise SpecificationError(
            f"a reset got rows {list(rows)}: each must be another one of the {worlds} worlds; the "
            "first reset starts all of them"
        )
