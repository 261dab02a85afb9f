"""What is controlled in closed loop: a simulation or a real system."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from codi_core.errors import CodiError, PlantError, SpecificationError
from codi_core.tasks.call_thread import CallThread
from codi_core.tasks.clock import Clock, WallClock
from codi_core.tasks.environment import Step, check_step

COMING_TO_REST = 10.0
"""How long a plant on the wall clock may take to come to rest [s]."""

_EXACT = 1e-9


class Plant(ABC):
    """A system that reports what it sees and follows timed chunks of actions.

    It is used as a context manager, for one episode, and always stopped at the end. Its author
    writes :meth:`_observe` and :meth:`_follow`; whoever uses it calls :meth:`observe`,
    :meth:`command` and :meth:`stop`, which see to it that nothing is commanded late, out of order,
    twice, or after the stop.

    A simulation runs on a :class:`VirtualClock`, a real system on a :class:`WallClock`. The clock
    shows 0 until the first command starts it: agents at rest wait for their first plan. On the
    wall clock the author's methods are called in one thread of their own, so that a plant that
    does not answer is noticed.

    Args:
        clock: the clock; by default a wall clock.
        patience: how long the plant may take to answer on the wall clock, and how old its
            observations may be [s].
        lead: how long before its start a chunk must be known [s].

    Attributes:
        clock: the clock.
        closing: what must be closed at the end, after the stop: ``closing.callback(disconnect)``.
    """

    def __init__(
        self, clock: Clock | None = None, patience: float = 1.0, lead: float = 0.0
    ) -> None:
        self.clock: Clock = WallClock() if clock is None else clock
        self.closing = ExitStack()
        self._patience, self._lead = patience, lead
        self._latest_start: float | None = None
        self._latest_now = self._latest_time = -float("inf")
        self._stopped = False
        self._calls: CallThread | None = None
        self._lock = threading.RLock()

    @abstractmethod
    def _observe(self, until: float) -> Step:
        """Observe; on a virtual clock, step to the time ``until`` [s] first and advance the clock.

        On a wall clock that time has come. The step's time is what ``clock`` showed when its
        measurements were made.
        """

    @abstractmethod
    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        """Follow these chunks, (B, K, A_i) an agent, from time ``start`` [s] on; return at once.

        Until then go on with the chunks before, which end at ``start``. Where the actions end, come
        to rest smoothly: nobody may be left to say so. None means that they end now: come to rest,
        and return when at rest.
        """

    @property
    def name(self) -> str:
        """What messages call it: its class."""
        return type(self).__name__

    @property
    def stopped(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stopped

    def observe(self, until: float) -> Step:
        """Wait until the clock shows ``until`` [s], then observe.

        A time that has passed already means: observe at once.

        Raises:
            PlantError: the plant failed, does not answer, or its time went wrong.
            SpecificationError: what it observed is no :class:`Step`.
        """
        self._check_clock()
        self.clock.wait(until)
        answer = self._answer(self._call(self._observe, until), self._patience)
        step = check_step(answer, self.name)
        if not self.clock.virtual:
            self._check_time(step.time)
        return step

    def command(self, chunks: tuple[Tensor, ...], start: float) -> float:
        """Follow these chunks, (B, K, A_i) an agent, from time ``start`` [s] on.

        Until then the plant goes on with the chunks that it follows; those end at ``start``.

        Returns:
            0.0, or how late the command came [s]; then the plant does not know it.

        Raises:
            SpecificationError: the plant has been stopped, or knows a chunk that starts then or
                later.
            PlantError: the plant failed or does not answer.
        """
        with self._lock:
            self._check_order(start)
            if self._latest_start is None:
                self.clock.start(start - self._lead)
                # It showed 0; with a lead it now shows less.
                self._latest_now = self._latest_time = -float("inf")
            late = self.clock.now() + self._lead - start
            if self._latest_start is not None and late > _EXACT:
                return late
            self._latest_start = start
            # Copies, which the author may change in place: into other units, for instance.
            own = tuple(chunk.clone() for chunk in chunks)
            call = self._call(self._follow, own, start)
        self._answer(call, self._patience)
        return 0.0

    def stop(self) -> None:
        """Come to rest smoothly. Nothing can be commanded afterwards; a second stop does nothing.

        Anybody may ask for it at any time, in any thread: also the author's own methods.

        Raises:
            PlantError: the plant failed or does not answer.
        """
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            call = self._call(self._follow, None, self.clock.now())
        self._answer(call, COMING_TO_REST)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except PlantError as failure:
            if error is None:
                raise
            error.add_note(str(failure))
        finally:
            self._close_calls()
            self.closing.close()

    def _check_order(self, start: float) -> None:
        if self._stopped:
            raise SpecificationError(f"{self.name} was commanded after it had been stopped")
        if self._latest_start is not None and start <= self._latest_start + _EXACT:
            raise SpecificationError(
                f"{self.name} was commanded for {start:.3f} s, but it already has a chunk that "
                f"starts at {self._latest_start:.3f} s: chunks must be commanded in the order of "
                "their starts, and once"
            )

    def _check_clock(self) -> None:
        now = self.clock.now()
        if now < self._latest_now:
            raise PlantError(
                f"the clock of {self.name} went back, from {self._latest_now:.3f} s to {now:.3f} s"
            )
        self._latest_now = now

    def _check_time(self, seen: float) -> None:
        now = self.clock.now()
        if seen < self._latest_time:
            raise PlantError(
                f"{self.name} observed at {seen:.3f} s, after it had observed at "
                f"{self._latest_time:.3f} s: its measurements are out of order"
            )
        if abs(now - seen) > self._patience:
            raise PlantError(
                f"{self.name} observed at {seen:.3f} s, but its clock shows {now:.3f} s: either it "
                "sees nothing new, or its measurements have another clock"
            )
        self._latest_time = seen

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call one of the author's methods: here on a virtual clock, else in its own thread."""
        if self.clock.virtual or (self._calls is not None and self._calls.is_current):
            done: Future[Any] = Future()
            done.set_result(method(*arguments))
            return done
        if self._calls is None:
            self._calls = CallThread(self.name)
        return self._calls.submit(method, *arguments)

    def _answer(self, call: Future[Any], patience: float) -> Any:
        wait([call], patience)
        if not call.done():
            self._close_calls()  # the next call, perhaps the stop, does not queue behind this one
            raise PlantError(f"{self.name} has not answered for {patience:g} s")
        try:
            return call.result()
        except CodiError:
            raise
        except (Exception, SystemExit) as error:
            # On a virtual clock errors don't come this way: those of simulations stay as they are.
            raise PlantError(f"{self.name} failed: {type(error).__name__}: {error}") from error

    def _close_calls(self) -> None:
        if self._calls is not None:
            self._calls.close()
            self._calls = None
