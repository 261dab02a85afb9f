"""The arms' seconds: real ones, or those of simulated arms that are slower than real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from codi_core.tasks import WallClock

_AHEAD = 0.02
"""[s] By which the clock may run ahead of what the arms have told."""
_SILENCE = 1.0
"""[s] Of silence after which it runs by itself: stopping must not wait for arms that are gone."""
_NAP = 0.001


class ArmClock:
    """Seconds that never jump back.

    With real arms these are real seconds. Simulated arms may be slower than real time, and not
    evenly; then it follows what they tell, as long as somebody listens to them.

    Args:
        slowdown: about how many real seconds a second of the arms takes; 1 follows nobody.
        monotonic: real seconds.
        sleep: waits for so many of them.
    """

    def __init__(
        self,
        slowdown: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.slowdown = slowdown
        self._real, self._sleep = monotonic, sleep
        self._follows = slowdown != 1.0
        self._ears: list[tuple[Callable[[], float], float]] = []
        self._told, self._told_at, self._shown = 0.0, monotonic(), 0.0
        self._lock = threading.Lock()

    def follow(self, tell: Callable[[], float]) -> None:
        """Follow what an arm tells of its time [s], on a clock of its own; the fastest one counts.

        Args:
            tell: asked whenever the time is; it never waits.
        """
        if self._follows:
            with self._lock:
                self._begin_anew()
                self._ears.append((tell, tell() - self._told))

    def leave(self, tell: Callable[[], float]) -> None:
        """Follow that no longer."""
        if self._follows:
            with self._lock:
                self._begin_anew()
                self._ears = [ear for ear in self._ears if ear[0] != tell]

    def seconds(self) -> float:
        """The time [s]."""
        if not self._follows:
            return self._real()
        with self._lock:
            return self._following()

    def sleep(self, seconds: float) -> None:
        """Wait for so many of its seconds."""
        if not self._follows:
            self._sleep(seconds)
            return
        until = self.seconds() + seconds
        while (remaining := until - self.seconds()) > 0:
            self._sleep(min(max(remaining * self.slowdown, _NAP), 5 * _NAP))

    def _following(self) -> float:
        told = max((tell() - began for tell, began in self._ears), default=self._told)
        if told > self._told:
            self._told, self._told_at = told, self._real()
        ahead = since = (self._real() - self._told_at) / self.slowdown
        if self._ears:
            ahead = min(since, _AHEAD) if since < _SILENCE else since - _SILENCE + _AHEAD
        self._shown = max(self._shown, self._told + ahead)
        return self._shown

    def _begin_anew(self) -> None:
        """Take the time that is shown for what was told: it must not jump."""
        self._told, self._told_at = self._following(), self._real()

    def of_plant(self) -> WallClock:
        """The plant's clock."""
        return WallClock(self.seconds, self.sleep, self.slowdown)
