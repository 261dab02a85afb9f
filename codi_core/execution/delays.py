"""How long plans take to arrive, and how long the next one is expected to take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from codi_core.errors import UsageError
from codi_core.execution.settings import MEASURED, LoopSettings

RECENT = 8
"""The next plan is expected to take as long as the slowest of this many before it."""


class Delays:
    """The delays of one run's plans [s].

    A fixed latency is what every plan takes. A measured one is taken as it comes, and the next plan
    is expected to take as long as the slowest of the last replans: a plan that is late executes
    actions from a state that nobody foresaw, one that is early merely waits. The first plan, which
    often takes longer, counts until a replan has been measured, and then no more than the E
    executed actions.

    Args:
        settings: of the loop.
        measured: whether the latency is measured; it is on the wall clock, too.
        recorded: the delays of an earlier run, one a plan, instead of what is measured.
    """

    def __init__(
        self, settings: LoopSettings, measured: bool, recorded: Sequence[float] | None = None
    ) -> None:
        self._least = settings.least_latency
        self._longest_first = settings.execute / settings.rate_hz
        self.measured = measured
        self._recorded: Iterator[float] | None = None if recorded is None else iter(recorded)
        self._first: float | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)

    @classmethod
    def of(cls, settings: LoopSettings, wall: bool, recorded: Sequence[float] | None) -> Delays:
        """The delays on a wall or a virtual clock."""
        return cls(settings, wall or settings.latency == MEASURED, recorded)

    @property
    def replayed(self) -> bool:
        """Whether the delays are those of an earlier run."""
        return self._recorded is not None

    def note(self, seconds: float) -> float:
        """The delay of the next plan [s]: its planning took ``seconds``.

        Raises:
            UsageError: fewer delays were recorded than there are plans.
        """
        if not self.measured:
            return self._least
        if self._recorded is not None:
            recorded = next(self._recorded, None)
            if recorded is None:
                raise UsageError(
                    "the recorded delays end before the episode does: they are those of another run"
                )
            seconds = recorded
        if self._first is None:
            self._first = seconds
        else:
            self._recent.append(seconds)
        return seconds

    def expected(self) -> float:
        """How long the next plan is expected to take [s]."""
        if not self.measured or self._first is None:
            return self._least
        slowest = max(self._recent, default=min(self._first, self._longest_first))
        return max(slowest, self._least)
