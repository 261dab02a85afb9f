"""What is asked of whoever makes plans, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from torch import Tensor

from codi_core.execution.world_selection import of_worlds
from codi_core.planning import Observation, Plan, StreamKey


@attrs.frozen(eq=False)
class PlanRequest:
    """One plan that is wanted: tensors and numbers only, so that it can go to another process.

    Attributes:
        keys: (seed, episode, replan) of each of B worlds.
        observations: the last H observations, oldest first, named tensors (B, ...).
        state: the task's typed state estimate, of the time of the last observation.
        ahead: the actions that are executed between then and the plan's start, (B, c, A_i) an
            agent; () if the plan starts at once.
        worlds: the numbers of the worlds to plan for, (b,); None stands for all.
        previous: the previous plan's flat joint chunk, normalised, (B, D), or None.
        committed: how many actions of the previous plan run before this one starts.
        deadline: the `time.monotonic()` by which the plan is wanted, or None.
        device: where the plan is made.
    """

    keys: tuple[StreamKey, ...]
    observations: tuple[Observation, ...]
    state: Any
    ahead: tuple[Tensor, ...] = ()
    worlds: Tensor | None = None
    previous: Tensor | None = None
    committed: int = 0
    deadline: float | None = None
    device: str = "cpu"

    def of_worlds(self, rows: Tensor) -> PlanRequest:
        """The same for the worlds with the numbers ``rows``, (b,), alone."""
        return attrs.evolve(
            self,
            keys=tuple(self.keys[row] for row in rows.tolist()),
            observations=tuple(
                {name: value[rows] for name, value in entry.items()} for entry in self.observations
            ),
            state=of_worlds(self.state, rows),
            ahead=tuple(chunk[rows] for chunk in self.ahead),
            worlds=None,
            previous=of_worlds(self.previous, rows),
        )


@attrs.frozen(eq=False)
class PlanReply:
    """What came of a request.

    Attributes:
        plan: the plan of the b worlds that were planned for. Worlds that broke have zeros.
        seconds: the wall time of planning [s], and of foreseeing the state.
        failures: the worlds that broke, by their numbers among all B worlds, and why.
    """

    plan: Plan
    seconds: float
    failures: Mapping[int, str] = attrs.field(factory=dict)
