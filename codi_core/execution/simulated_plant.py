"""A plant that is an environment on a virtual clock."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.tasks import Environment, EpisodeKey, Plant, Step


class SimulatedPlant(Plant):
    """Drives an environment; time passes only while somebody waits in :meth:`observe`.

    Args:
        environment: what is driven; it is reset to ``episodes``.
        episodes: one key a world.
        rate_hz: the control rate [Hz]; times are rounded to its periods.
    """

    def __init__(
        self, environment: Environment, episodes: Sequence[EpisodeKey], rate_hz: float
    ) -> None:
        self._environment = environment
        self._rate = rate_hz
        self._clock = 0
        self._queue: list[tuple[int, tuple[Tensor, ...]]] = []
        self._latest = environment.reset(episodes)

    def observe(self, until: float) -> Step:
        """Step the environment until the clock shows ``until`` [s].

        Raises:
            SpecificationError: no commanded chunk covers the time until then.
        """
        for tick in range(self._clock, round(until * self._rate)):
            self._latest = self._environment.step(self._actions(tick))
            self._clock = tick + 1
        return self._latest

    def command(self, chunks: tuple[Tensor, ...], start: float) -> None:
        """Follow these chunks, (B, K, A_i) an agent, from time ``start`` [s] on.

        Raises:
            SpecificationError: ``start`` has passed.
        """
        tick = round(start * self._rate)
        if tick < self._clock:
            raise SpecificationError(
                f"a chunk was commanded for {start:.3f} s, but the plant's clock shows "
                f"{self._clock / self._rate:.3f} s"
            )
        # What was commanded to start later than this chunk is superseded by it.
        self._queue = [entry for entry in self._queue if entry[0] < tick]
        self._queue.append((tick, chunks))

    def _actions(self, tick: int) -> tuple[Tensor, ...]:
        """The actions, (B, A_i) an agent, of the latest chunk that has started."""
        while len(self._queue) > 1 and self._queue[1][0] <= tick:
            self._queue.pop(0)
        if self._queue:
            start, chunks = self._queue[0]
            if start <= tick < start + chunks[0].shape[1]:
                return tuple(chunk[:, tick - start] for chunk in chunks)
        raise SpecificationError(
            f"no commanded chunk covers the control step at {tick / self._rate:.3f} s"
        )
