"""The thread that asks for the wanted motion, has it judged, and hands it on to the arms' threads.

It never waits for an arm: each has an :class:`~codi_franka.hardware.arms.arm_worker.ArmWorker`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError
from codi_franka.hardware.arms.arm_worker import ArmWorker
from codi_franka.hardware.arms.link import ArmError, ArmLink
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.priority import hurry
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.verdict import Reason, Verdict

Array = NDArray[np.float64]

Wanted = Callable[[Sequence[ArmReading]], Array]
"""From the arms' readings to the wanted joint velocities (2, 7) [rad/s], whatever they may be."""

LOST = 0.15
"""[s] An arm of which nothing new was heard for that long can't be reached."""

REASONS = tuple(Reason)
"""The order in which rejections are counted."""


class Judge(Protocol):
    """What the stream asks of :class:`~codi_franka.hardware.safety.layer.SafetyLayer`."""

    @property
    def stop_reason(self) -> str | None:
        """Why it stops; None while it doesn't."""
        ...

    @property
    def at_rest(self) -> bool:
        """Whether both arms have been told to stand still."""
        ...

    def reset(self, readings: Sequence[ArmReading]) -> None:
        """Both arms are at rest there."""

    def admit(self, wanted: Array, readings: Sequence[ArmReading], now: float) -> Verdict:
        """What may be sent now, at the arms' second ``now`` [s]."""
        ...

    def stop(self, reason: str) -> None:
        """Bring both arms to rest from now on."""


@attrs.frozen
class StreamSettings:
    """How the stream runs.

    Attributes:
        period: between two commands [s].
        recoveries: how many errors of the arms are recovered from in a row.
        within: errors that come within that time are in a row [s].
        in_all: how many errors are recovered from in all.
        recovering: how long an arm stands still before its error is cleared [s].
        clearing: how long that may take [s].
        settling: how long after that what has stopped it may go on, such as a push [s].
    """

    period: float = 0.01
    recoveries: int = 5
    within: float = 60.0
    in_all: int = 20
    recovering: float = 0.3
    clearing: float = 5.0
    settling: float = 3.0


@attrs.define
class Tally:
    """What happened in the stream since it was last asked for.

    Attributes:
        rejections: (R,) in how many periods commands were bent or refused, by the reason.
        force: (2,) the largest external force at each hand [N].
        longest_gap: between two periods' commands [s].
        periods: how many there were.
    """

    rejections: Array = attrs.field(factory=lambda: np.zeros(len(REASONS)))
    force: Array = attrs.field(factory=lambda: np.zeros(2))
    longest_gap: float = 0.0
    periods: int = 0


class Stream:
    """Sends both arms a command each period, from when it is started until both are at rest.

    Args:
        arms: left and right, connected already: an arm that connects disturbs one that moves.
        wanted: what the arms should do.
        judge: what they may do.
        clock: the arms' seconds.
        settings: how the stream runs.

    Attributes:
        readings: the latest ones.
        velocities: (2, 7) the latest commands [rad/s].
        tripped: how many errors arms have reported.
        halts: how many times the safety layer has stopped both.
        failure: why it has ended, if it wasn't asked to.
    """

    def __init__(
        self,
        arms: Sequence[ArmLink],
        wanted: Wanted,
        judge: Judge,
        clock: ArmClock,
        settings: StreamSettings,
    ) -> None:
        self._clock = clock
        self._wanted, self._judge, self._settings = wanted, judge, settings
        self._arms = [ArmWorker(arm, clock) for arm in arms]
        self._reason: str | None = None
        self._stopping = False
        self._faults: dict[int, ArmError] = {}
        self._halted: str | None = None
        self._tally, self._lock = Tally(), threading.Lock()
        self._rest_since: float | None = None
        self._recovered_at: list[float] = []
        self.tripped = self.halts = 0
        self.failure: str | None = None
        self.velocities = np.zeros((len(arms), 7))
        self.readings: tuple[ArmReading, ...] = ()
        self.readings = self._read(self._clock.seconds())
        judge.reset(self.readings)
        for arm in self._arms:
            arm.start()
        self._thread = threading.Thread(target=self._run, name="stream to the arms", daemon=True)
        self._thread.start()

    @property
    def recovered(self) -> int:
        """How many errors have been recovered from."""
        return len(self._recovered_at)

    def stop(self, reason: str) -> None:
        """Bring both arms to rest, and end; returns at once."""
        self._reason, self._stopping = reason, True

    def join(self, seconds: float) -> bool:
        """Wait until it has ended, at most so long [s]; whether it has."""
        self._thread.join(seconds * self._clock.slowdown)
        return not self._thread.is_alive()

    def tally(self) -> Tally:
        """What happened since this was asked for last."""
        with self._lock:
            tally, self._tally = self._tally, Tally()
        return tally

    # -- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        hurry()
        due = sent = self._clock.seconds()
        try:
            while self._tick():
                now = self._clock.seconds()
                self._note_gap(now - sent)
                due, sent = max(due + self._settings.period, now - self._settings.period), now
                if due > now:
                    self._clock.sleep(due - now)
        except Exception as error:  # nothing is sent any more: the arms stop by themselves
            self.failure = f"the stream to the arms broke: {type(error).__name__}: {error}"
            raise
        finally:
            for arm in self._arms:
                arm.end()
            for arm in self._arms:
                arm.close()

    def _tick(self) -> bool:
        """One period; whether there is to be another one."""
        now = self._clock.seconds()
        self.readings = self._read(now)
        wanted = np.zeros_like(self.velocities) if self._halting else self._ask()
        if self._stopping and self._reason is not None:
            self._judge.stop(self._reason)
            self._reason = None
        verdict = self._judge.admit(wanted, self.readings, now)
        self._send(verdict.velocities)
        self._note(verdict)
        if verdict.stop and not self._halting:
            self._halt(self._judge.stop_reason or "the safety layer stops the arms")
        if not self._judge.at_rest:
            self._rest_since = None
            return True
        self._rest_since = now if self._rest_since is None else self._rest_since
        if self._stopping or self.failure is not None:
            return False
        return self._recover(now) if self._halting else True

    @property
    def _halting(self) -> bool:
        """Whether both arms are to stand, for good or for a while."""
        waiting = bool(self._faults) or self._halted is not None
        return self._stopping or waiting or self.failure is not None

    def _halt(self, reason: str) -> None:
        """The safety layer has stopped both arms: go on a bounded number of times."""
        self._halted = reason
        self.halts += 1
        self._count(reason, "look what the arms do, then start again")

    def _ask(self) -> Array:
        """The wanted velocities; none if whoever is asked breaks."""
        try:
            return self._wanted(self.readings)
        except Exception as error:
            self._fail(f"no motion could be worked out: {type(error).__name__}: {error}")
            return np.zeros_like(self.velocities)

    def _read(self, now: float) -> tuple[ArmReading, ...]:
        readings = []
        for number, arm in enumerate(self._arms):
            fault = self._faults.get(number)
            if fault is not None and fault.lost:
                readings.append(self.readings[number])
                continue
            try:
                reading = arm.read()
                silence = now - reading.time
                if silence > LOST * self._clock.slowdown:
                    raise ArmError(arm.name, f"nothing was heard for {silence:.2f} s", lost=True)
            except ArmError as error:
                if not self.readings:
                    raise  # nobody has been told to move yet
                self._fault(number, error)
                reading = self.readings[number]
            readings.append(reading)
        return tuple(readings)

    def _send(self, velocities: Array) -> None:
        self.velocities = velocities
        for number, (arm, velocity) in enumerate(zip(self._arms, velocities, strict=True)):
            if number in self._faults:
                continue  # it stands already, or hears nothing
            try:
                arm.send(velocity)
            except ArmError as fault:
                self._fault(number, fault)

    def _fault(self, number: int, fault: ArmError) -> None:
        """One arm stops by itself: so must the other."""
        known = self._faults.get(number)
        if known is not None and (known.lost or not fault.lost):
            return
        self._faults[number] = fault
        self.tripped += known is None
        self._judge.stop(str(fault))
        if fault.lost:
            self._arms[number].abandon()
            self._fail(f"{fault}: check its cable and power, and that its brakes are open")
        else:
            remedy = "look what it runs against, then clear the error with `codi franka-recover`"
            self._count(str(fault), remedy)

    def _count(self, reason: str, remedy: str) -> None:
        """Fail if enough errors have been recovered from."""
        settings, now = self._settings, self._clock.seconds()
        row = sum(now - when < settings.within for when in self._recovered_at)
        if row >= settings.recoveries or self.recovered >= settings.in_all:
            before = f"{self.recovered} errors were recovered from already, {row} of them lately"
            self._fail(f"{reason}. {before}: {remedy}")

    def _fail(self, reason: str) -> None:
        if self.failure is None:
            self.failure = reason
            self._judge.stop(reason)

    def _recover(self, now: float) -> bool:
        """Clear the errors of arms that stand still, and go on."""
        assert self._rest_since is not None
        standing = now - self._rest_since
        if standing < self._settings.recovering:
            return True
        for number, fault in list(self._faults.items()):
            cleared = self._arms[number].recover()
            if cleared is None and standing < self._settings.recovering + self._settings.clearing:
                return True
            if not cleared:
                self._fail(
                    f"{fault}; the error can't be cleared from here: look at the arm, then try "
                    "`codi franka-recover`"
                )
                return True
            del self._faults[number]
            self._halted = str(fault)
            self._rest_since = now - self._settings.recovering  # settling begins now
        try:
            self._judge.reset(self._read(self._clock.seconds()))
        except CodiError as error:
            if standing > self._settings.recovering + self._settings.settling:
                self._fail(f"{self._halted}; after that {error}")
            return True
        self._recovered_at.append(now)
        self._halted, self._rest_since = None, None
        return True

    def _note(self, verdict: Verdict) -> None:
        with self._lock:
            tally = self._tally
            tally.periods += 1
            reasons = {rejection.reason for rejection in verdict.rejections}
            tally.rejections += [reason in reasons for reason in REASONS]
            force = [float(np.linalg.norm(reading.force)) for reading in self.readings]
            tally.force = np.maximum(tally.force, force)

    def _note_gap(self, gap: float) -> None:
        with self._lock:
            self._tally.longest_gap = max(self._tally.longest_gap, gap)
