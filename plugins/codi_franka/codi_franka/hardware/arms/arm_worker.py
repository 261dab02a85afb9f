"""Two threads for each arm, so that one that is slow to answer holds up nothing but itself.

A client library's calls usually return at once. After an arm has stopped by itself they wait: for
its next messages, or for one second where none come. Whoever streams to two arms must wait for
neither, or the arm that is well stands as long as the other is silent.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

import numpy as np

from codi_franka.hardware.arms.link import ArmError, ArmLink, Array
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.priority import hurry
from codi_franka.hardware.reading import ArmReading

POLL = 0.002
"""[s] Between two readings of an arm: the latest one is that old, and a message's time."""
UNTAKEN = 0.1
"""[s] An arm that has not taken a command for that long does not follow any more."""
LEAVING = 2.5
"""[s] For which an arm may take to be left alone."""


class ArmWorker:
    """Reads one arm over and over, and sends it the latest command. Only :meth:`close` waits.

    Args:
        link: the arm.
        clock: follows the arm's own time from the start on.

    Attributes:
        name: of the arm.

    Raises:
        ArmError: it does not answer.
    """

    def __init__(self, link: ArmLink, clock: ArmClock) -> None:
        self.name, self._link, self._clock = link.name, link, clock
        self._lock, self._wake, self._ended = threading.Lock(), threading.Event(), threading.Event()
        self._reading = link.read(clock.seconds())
        self._lost: ArmError | None = None
        self._error: ArmError | None = None
        self._command: Array | None = None
        self._untaken_since: float | None = None
        self._recovery: Future[bool] | None = None
        self._abandoned = False
        self._threads = [
            threading.Thread(target=target, name=f"{what} the {link.name} arm", daemon=True)
            for what, target in (("reads", self._watch), ("sends to", self._serve))
        ]

    def start(self) -> None:
        """Start to read."""
        self._clock.follow(self._link.told)
        for thread in self._threads:
            thread.start()

    def read(self) -> ArmReading:
        """The latest reading; its time says when something new came from the arm.

        Raises:
            ArmError: the connection is lost.
        """
        if self._lost is not None:
            raise self._lost
        return self._reading

    def send(self, velocity: Array) -> None:
        """Have the arm approach joint velocities (7,) [rad/s] as soon as it takes them.

        Raises:
            ArmError: it has refused an earlier command, or has not taken one for too long.
        """
        now = self._clock.seconds()
        with self._lock:
            if self._error is not None:
                raise self._error
            since = now if self._untaken_since is None else self._untaken_since
            if now - since > UNTAKEN:
                raise ArmError(self.name, f"no command was taken for {now - since:.2f} s")
            self._command, self._untaken_since = np.array(velocity), since
        self._wake.set()

    def recover(self) -> bool | None:
        """Have the arm's error cleared; whether that was possible, None as long as it is tried."""
        if self._recovery is None:
            self._recovery = Future()
            self._wake.set()
        if not self._recovery.done():
            return None
        recovered, self._recovery = self._recovery.result(), None
        return recovered

    def abandon(self) -> None:
        """It can't be reached any more: never wait for it again."""
        self._abandoned = True
        self.end()

    def end(self) -> None:
        """Have the arm left alone, and the threads end; returns at once."""
        self._ended.set()
        self._wake.set()
        self._clock.leave(self._link.told)

    def close(self) -> None:
        """Wait until they have, unless the arm can't be reached."""
        self.end()
        if not self._abandoned:
            for thread in self._threads:
                thread.join(LEAVING)

    def _watch(self) -> None:
        hurry()
        while self._lost is None and not self._ended.wait(POLL * self._clock.slowdown):
            self._look()

    def _look(self) -> None:
        try:
            self._reading = self._link.read(self._clock.seconds())
        except ArmError as error:
            self._lost = error

    def _serve(self) -> None:
        hurry()  # a library's own thread, which this one starts, inherits it
        while not self._ended.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._recovery is not None and not self._recovery.done():
                self._recovery.set_result(self._recovered())
            self._take()
        self._take()
        self._link.close()

    def _take(self) -> None:
        """Send the latest command, if there is a new one."""
        with self._lock:
            command, self._command = self._command, None
        if command is None:
            return
        error = None
        try:
            self._link.send(command)
        except ArmError as refused:
            error = refused
        with self._lock:
            self._error = self._error or error
            self._untaken_since = None

    def _recovered(self) -> bool:
        recovered = self._link.recover()
        if recovered:
            self._look()  # what was read before is of an arm with an error
            with self._lock:
                self._error = self._command = self._untaken_since = None
        return recovered
