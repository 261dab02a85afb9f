"""Arms and hands without a network, that do what they are told, or don't."""

from __future__ import annotations

import threading
import time

import numpy as np

from codi_franka.hardware.arms.link import ArmError, HandReading
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.verdict import Verdict
from codi_franka.robot.controller import HOME


class FakeArm:
    """Follows velocities at once; keeps what it was sent, and when."""

    def __init__(self, name):
        self.name, self.host = name, "fake"
        self.position, self.velocity = np.array(HOME), np.zeros(7)
        self.sent, self.times = [], []
        self.error: str | None = None  # raised by the next command
        self.silent = self.gone = self.closed = False
        self.recoverable, self.recoveries = True, 0
        self.heard_at, self.force = 0.0, np.zeros(3)

    def read(self, now):
        if self.gone:
            raise ArmError(self.name, "the connection is lost", lost=True)
        if not self.silent:
            self.heard_at = now
        position, nothing = self.position.copy(), np.zeros(7)
        return ArmReading(
            self.heard_at, position, self.velocity.copy(), self.force, nothing, position
        )

    def send(self, velocity):
        if self.error is not None:
            raise ArmError(self.name, self.error)
        now = time.monotonic()
        if self.times:
            self.position += self.velocity * min(now - self.times[-1], 0.1)
        self.velocity = velocity.copy()
        self.sent.append(velocity.copy())
        self.times.append(now)

    def steps(self, period):
        """How far each command was from the last one (n,), at a period's worth of time [rad/s].

        Who sends may be late by a period and then leave one out, as the arm's target is replaced.
        """
        periods = np.ceil(np.diff(self.times) / period) + 1
        return np.abs(np.diff(np.array(self.sent), axis=0)).max(-1) / periods

    def errors(self):
        return () if self.error is None else (self.error,)

    def recover(self):
        self.recoveries += 1
        if self.recoverable:
            self.error, self.velocity = None, np.zeros(7)
        return self.recoverable

    def told(self):
        return self.heard_at

    def close(self):
        self.closed = True


class FakeHand:
    """Takes ``seconds`` for each command; hangs while ``stuck``. Refuses to be told two at once."""

    def __init__(self, seconds=0.05, object_width=0.05):
        self.seconds, self.object_width = seconds, object_width
        self.width, self.most, self.told = 0.08, 0.08, []
        self.stuck, self.mute = threading.Event(), threading.Event()
        self.running = threading.Lock()
        self.overlaps = 0

    def read(self):
        while self.mute.is_set():
            time.sleep(0.01)
        return HandReading(self.width, self.width < 0.08, self.most)

    def open(self):
        return self._move("open", 0.08)

    def close_on_object(self):
        return self._move("close", self.object_width)

    def home(self):
        return self._move("home", 0.08)

    def _move(self, what, width):
        if not self.running.acquire(blocking=False):
            self.overlaps += 1
            raise RuntimeError("a command before the last one was done")
        try:
            self.told.append(what)
            time.sleep(self.seconds)
            while self.stuck.is_set():
                time.sleep(0.01)
            self.width = width
            return True
        finally:
            self.running.release()


class RampJudge:
    """Ramps of so many rad/s²: stands for the safety layer, which has tests of its own."""

    def __init__(self, period, acceleration=6.0):
        self.step = period * acceleration
        self.velocity, self.reasons, self.resets = np.zeros((2, 7)), [], 0
        self.stopping, self.stop_reason = False, None

    @property
    def at_rest(self):
        return not self.velocity.any()

    def reset(self, readings):
        self.velocity, self.stopping = np.zeros((2, 7)), False
        self.resets += 1

    def stop(self, reason):
        self.stopping, self.stop_reason = True, reason
        self.reasons.append(reason)

    def admit(self, wanted, readings, now):
        wanted = np.zeros((2, 7)) if self.stopping else np.nan_to_num(wanted)
        self.velocity = self.velocity + np.clip(wanted - self.velocity, -self.step, self.step)
        return Verdict(self.velocity.copy(), (), self.stopping)
