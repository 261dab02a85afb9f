"""What has happened so far in the episodes of a batch of worlds."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import SpecificationError
from codi_core.execution.devices import copied
from codi_core.execution.endings import Endings, Events
from codi_core.execution.rollout import Replan, Rollout
from codi_core.planning import Observation
from codi_core.tasks.environment import Step


class EpisodeLog:
    """Keeps events, plans and failures, and knows whose episode is over.

    Args:
        worlds: B.
        after_success: how many control steps an episode goes on after its success; None for up to
            the time limit.

    Attributes:
        replans: one entry a plan.
    """

    def __init__(self, worlds: int, after_success: int | None) -> None:
        self._worlds = worlds
        self._endings = Endings(after_success)
        self._events: list[Events] = []
        self._failures: list[str | None] = [None] * worlds
        self._missed = 0
        self.replans: list[Replan] = []

    def note(self, step: Step, rows: int = 1) -> Step:
        """Take in what was observed, as so many rows of events; a copy of the step.

        More than one row stand for control steps that were missed.
        """
        # Simulators hand out live views; what happened must not change afterwards.
        events = {name: np.array(value) for name, value in step.events.items()}
        self._check(events, step.observation)
        for _ in range(rows):
            self._events.append(events)
            self._endings.note(events)
        self._missed += rows - 1
        state, observation = copied(step.state), copied(step.observation)
        return attrs.evolve(step, state=state, observation=observation, events=events)

    def _check(self, events: Events, observation: Observation) -> None:
        """Check that there is a row a world, and that events stay as they began.

        Raises:
            SpecificationError: it is not so; the message names the event or observation.
        """
        for name, before in (self._events[0] if self._events else events).items():
            if name not in events:
                raise SpecificationError(
                    f"the event '{name}' of earlier control steps is missing: there are "
                    f"{', '.join(events) or 'none'}"
                )
            shape = events[name].shape
            if shape != (self._worlds, *before.shape[1:]):
                raise SpecificationError(
                    f"the event '{name}' has the shape {shape}; it must have a row for each of "
                    f"{self._worlds} worlds, and the same sizes at each control step"
                )
        for name, tensor in observation.items():
            if tensor.shape[:1] != (self._worlds,):
                raise SpecificationError(
                    f"the observation '{name}' has the shape {tuple(tensor.shape)}; it must have a "
                    f"row for each of {self._worlds} worlds"
                )

    def fail(self, reasons: Mapping[int, str]) -> None:
        """End the episodes of worlds with the latest row, for these reasons."""
        unfinished = self.unfinished()
        ended = [world for world in reasons if unfinished[world]]
        for world in ended:
            self._failures[world] = reasons[world]
        if ended:
            self._endings.end(self._worlds, ended)

    def fail_all(self, reason: str) -> None:
        """End all episodes that are not over."""
        self.fail(dict.fromkeys(range(self._worlds), reason))

    def unfinished(self) -> NDArray[np.bool_]:
        """Whether each world's episode is not over yet, (B,)."""
        return self._endings.unfinished(self._worlds)

    def over(self) -> bool:
        """Whether the episodes of all worlds are over."""
        return self._endings.over()

    def rollout(self) -> Rollout:
        """All of it."""
        events = {name: np.stack([row[name] for row in self._events]) for name in self._events[0]}
        lengths = self._endings.lengths(self._worlds)
        return Rollout(events, lengths, tuple(self.replans), tuple(self._failures), self._missed)
