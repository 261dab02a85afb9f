"""A plant that is an environment on a virtual clock."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.execution.schedule import Schedule, ScheduledChunks
from codi_core.tasks import Environment, EpisodeKey, Plant, Step, VirtualClock


class SimulatedPlant(Plant):
    """Drives an environment; time passes only while somebody waits in :meth:`observe`.

    It has no motion of its own: where the actions end it raises, and to stop it is to leave it.

    Args:
        environment: what is driven; it is reset to ``episodes``.
        episodes: one key a world.
        rate_hz: the control rate [Hz]; times are rounded to its periods.
    """

    def __init__(
        self, environment: Environment, episodes: Sequence[EpisodeKey], rate_hz: float
    ) -> None:
        self._virtual = VirtualClock()
        super().__init__(self._virtual)
        self._environment = environment
        self._rate = rate_hz
        self._tick = 0
        self._schedule = Schedule()
        self._latest = environment.reset(episodes)

    def _observe(self, until: float) -> Step:
        """Step the environment until the clock shows ``until`` [s].

        Raises:
            SpecificationError: no commanded chunk covers the time until then.
        """
        for tick in range(self._tick, round(until * self._rate)):
            self._latest = self._environment.step(self._actions(tick))
            self._tick = tick + 1
            self._virtual.advance(self._tick / self._rate)
        return self._latest

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        if chunks is not None:
            self._schedule.add(ScheduledChunks(round(start * self._rate), chunks))

    def _actions(self, tick: int) -> tuple[Tensor, ...]:
        """The actions, (B, A_i) an agent, of the latest chunk that has started."""
        actions = None if self.stopped else self._schedule.actions(tick)
        if actions is None:
            raise SpecificationError(
                f"no commanded chunk covers the control step at {tick / self._rate:.3f} s"
            )
        return actions
