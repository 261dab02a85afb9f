"""How episodes go in worlds of another library: who starts, who has ended, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codi_core.adapters.readings import Readings, episode_seed
from codi_core.errors import SpecificationError
from codi_core.planning import Observation
from codi_core.tasks import EpisodeKey, Step, check_rows


class Worlds(ABC):
    """Worlds of another library, stepped together."""

    @abstractmethod
    def start(self, seeds: Sequence[int], rows: Sequence[int] | None) -> Readings:
        """Start episodes with these seeds, in new worlds or in those with these numbers.

        Returns:
            What is said about the worlds that started.
        """

    @abstractmethod
    def step(self, actions: tuple[Tensor, ...], ended: NDArray[np.bool_]) -> Readings:
        """Apply the agents' actions, (B, A_i) each, for one control period.

        What is said about worlds that had ended before, (B,), does not count.
        """


@attrs.frozen
class View:
    """What is made of readings of B worlds.

    Attributes:
        state: the task's typed state estimate, tensors (B, ...).
        observe: the joint observation, named tensors (B, ...).
        events: measurements for metrics and pictures, named arrays (B, ...). ``succeeded`` and
            ``failed`` are booleans, (B,).
    """

    state: Callable[[Readings], Any]
    observe: Callable[[Readings], Observation]
    events: Callable[[Readings], Mapping[str, NDArray[Any]]]


class Episodes:
    """The episodes of B worlds. Their ends are final: a world that has ended stays as it is.

    A world has succeeded or failed from when its events say so, and it has failed when it ends
    without having succeeded.

    Args:
        worlds: the worlds.
        view: what is made of their readings.
        rate_hz: the control rate [Hz].
    """

    def __init__(self, worlds: Worlds, view: View, rate_hz: float) -> None:
        self.worlds, self.view, self.rate_hz = worlds, view, rate_hz
        self._count = 0

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Start episodes, as :meth:`codi_core.tasks.Environment.reset`."""
        if rows is not None:
            check_rows(rows, episodes, self._count)
        started = self.worlds.start([episode_seed(key) for key in episodes], rows)
        if rows is None:
            self._count, self._steps, self._readings = started.worlds, 0, started
            self._succeeded = np.zeros(started.worlds, dtype=bool)
            self._failed = np.zeros(started.worlds, dtype=bool)
        else:
            self._readings = self._readings.replaced(rows, started)
            self._succeeded[list(rows)] = self._failed[list(rows)] = False
        return self._look()

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an agent, as :meth:`codi_core.tasks.Environment.step`."""
        before = self._readings
        ended = np.flatnonzero(before.ended).tolist()
        now = self.worlds.step(actions, before.ended)
        self._readings = now.replaced(ended, before.of_worlds(ended)) if ended else now
        self._steps += 1
        return self._look()

    def _look(self) -> Step:
        readings, view = self._readings, self.view
        events = dict(view.events(readings))
        self._succeeded |= np.asarray(events.get("succeeded", False)) & ~self._failed
        self._failed |= (
            np.asarray(events.get("failed", False)) | readings.ended
        ) & ~self._succeeded
        events |= {"succeeded": self._succeeded.copy(), "failed": self._failed.copy()}
        time = self._steps / self.rate_hz
        return Step(time, view.state(readings), view.observe(readings), events)


def limited(actions: Tensor, space: Any) -> NDArray[Any]:
    """Actions (B, A) within the bounds of a box; a number that is not finite is within them, too.

    Raises:
        SpecificationError: the action space is none, or has another size.
    """
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None or np.size(low) != actions.shape[-1]:
        raise SpecificationError(
            f"the agents' actions have {actions.shape[-1]} numbers, which don't fit into {space}: "
            "say with `actions` what the environment takes"
        )
    finite = np.nan_to_num(actions.detach().cpu().numpy())
    bounded: NDArray[Any] = np.clip(finite.reshape(-1, *np.shape(low)), low, high)
    return bounded.astype(np.asarray(low).dtype)
