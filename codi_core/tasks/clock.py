"""The two clocks that plants run on."""

from __future__ import annotations

import time
from collections.abc import Callable


class VirtualClock:
    """Shows the time that a simulation has reached; it stands still while nobody steps it.

    Attributes:
        virtual: True.
        pace: 1; plans are timed in real seconds.
    """

    virtual = True
    pace = 1.0

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        """The time [s]."""
        return self._now

    def start(self, at: float) -> None:
        """Nothing: it runs when it is advanced."""

    def advance(self, to: float) -> None:
        """Show the time ``to`` [s]."""
        self._now = to

    def wait(self, until: float) -> None:
        """Nothing: the plant steps its simulation to that time."""


class WallClock:
    """Real seconds since it was started; before that it shows 0.

    Args:
        monotonic: the seconds of a clock that never jumps.
        sleep: waits for so many of them.
        pace: how many real seconds one of them takes. A real system that is simulated may need more
            than one; then the planner's delays count as if all went at that pace.

    Attributes:
        virtual: False.
    """

    virtual = False

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        pace: float = 1.0,
    ) -> None:
        self.pace = pace
        self._monotonic = monotonic
        self._sleep = sleep
        self._zero: float | None = None

    def now(self) -> float:
        """The time [s]."""
        return 0.0 if self._zero is None else self._monotonic() - self._zero

    def start(self, at: float) -> None:
        """Run from the time ``at`` [s] on."""
        self._zero = self._monotonic() - at

    def wait(self, until: float) -> None:
        """Sleep until it shows ``until`` [s]; not at all before it has been started."""
        remaining = until - self.now()
        if self._zero is not None and remaining > 0:
            self._sleep(remaining)


Clock = VirtualClock | WallClock
