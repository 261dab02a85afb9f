"""A thread for one hand, so that nothing else ever waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import attrs

from codi_franka.hardware.arms.link import HandLink, HandReading
from codi_franka.hardware.clock import ArmClock
from codi_franka.robot.parameters import MAX_WIDTH

CLOSE_BELOW, OPEN_ABOVE = 0.03, 0.05
"""[m] A commanded width means: close, below the one; open, above the other; in between: stay so."""
LATCH = 0.3
"""[s] For which a command is kept, whatever is wanted meanwhile: policies waver."""
READ_PERIOD = 0.1
"""[s] Between two readings of the width; a reading takes about as long."""
PATIENCE = 5.0
"""[s] A hand that takes longer for anything does not answer."""


@attrs.frozen
class HandNow:
    """What is known of a hand.

    Attributes:
        reading: the latest one; None before the first.
        closing: whether it closes or is closed.
        busy_for: for how long it has been doing what it was told last [s]; 0 if it is done.
        silent_for: for how long nothing has been read [s].
        failures: how many commands it has failed at.
    """

    reading: HandReading | None
    closing: bool
    busy_for: float
    silent_for: float
    failures: int


class GripperWorker:
    """Opens and closes one hand: one command at a time, and the width is read beside it.

    Args:
        name: of the arm.
        hand: what is commanded and read. Both may happen at once, in two threads.
        clock: the arms' seconds.
    """

    def __init__(self, name: str, hand: HandLink, clock: ArmClock) -> None:
        self.name, self._hand, self._now = name, hand, clock.seconds
        self._wanted_closed: bool | None = None
        self._is_closed: bool | None = None
        self._began: float | None = None
        self._changed = -float("inf")
        self._read_at = self._now()
        self._reading: HandReading | None = None
        self._failures = 0
        self._homing: Future[bool] | None = None
        self._wake, self._ended = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"{what} of the {name} hand", daemon=True)
            for what, target in (("commands", self._serve), ("width", self._watch))
        ]
        for thread in self._threads:
            thread.start()

    def want(self, width: float) -> None:
        """Open or close, as a commanded width [m] means; returns at once."""
        closed = self._wanted_closed
        if width < CLOSE_BELOW:
            closed = True
        elif width > OPEN_ABOVE:
            closed = False
        now = self._now()
        if closed is not self._wanted_closed and now - self._changed >= LATCH:
            self._wanted_closed, self._changed = closed, now
            self._wake.set()

    def home(self) -> bool:
        """Have the hand learn how far it opens, and wait for it; whether that worked."""
        self._homing = Future()
        self._wake.set()
        return self._homing.result()

    def look(self) -> HandNow:
        """What is known of the hand now; returns at once."""
        now, began = self._now(), self._began
        return HandNow(
            reading=self._reading,
            closing=bool(self._wanted_closed),
            busy_for=0.0 if began is None else now - began,
            silent_for=now - self._read_at,
            failures=self._failures,
        )

    @property
    def trouble(self) -> str | None:
        """What is wrong with the hand, or None."""
        seen = self.look()
        if seen.busy_for > PATIENCE:
            return f"the {self.name} hand has not finished a command for {seen.busy_for:.1f} s"
        if seen.silent_for > PATIENCE:
            return f"the {self.name} hand has not told its width for {seen.silent_for:.1f} s"
        return None

    def width(self) -> float:
        """The latest width [m]; fully open before anything was read."""
        return MAX_WIDTH if self._reading is None else self._reading.width

    def close(self) -> None:
        """End the threads as soon as the hand lets them; nothing waits for a hand that hangs."""
        self._ended.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(0.5)

    def _serve(self) -> None:
        while not self._ended.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._homing is not None and not self._homing.done():
                self._homing.set_result(self._told(self._hand.home))
            while not self._ended.is_set() and self._wanted_closed is not self._is_closed:
                self._command(bool(self._wanted_closed))

    def _command(self, closed: bool) -> None:
        done = self._told(self._hand.close_on_object if closed else self._hand.open)
        self._failures += not done
        # A grasp of nothing "fails", too, and is not tried again before it is asked for anew.
        self._is_closed = closed

    def _told(self, command: Callable[[], bool]) -> bool:
        """Tell the hand something, and wait for it; whether it did that."""
        self._began = self._now()
        try:
            return command()
        except Exception:  # the library has no common class for its errors; the hand may come back
            self._ended.wait(READ_PERIOD)
            return False
        finally:
            self._began = None

    def _watch(self) -> None:
        while not self._ended.is_set():
            with suppress(Exception):  # as above; how long it has been silent shows
                self._reading, self._read_at = self._hand.read(), self._now()
            self._ended.wait(READ_PERIOD)
