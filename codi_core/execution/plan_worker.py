"""Who makes the plans: the controller's own thread, or one beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import Future, wait
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from codi_core.errors import PlanWorkerError
from codi_core.execution.plan_maker import PlanMaker
from codi_core.execution.plan_request import PlanReply, PlanRequest
from codi_core.planning import Planner
from codi_core.tasks.call_thread import CallThread
from codi_core.tasks.task import Advance


class PlanWorker(ABC):
    """Makes one plan at a time. A context manager that ends what it has started.

    Attributes:
        name: what messages call it.
        foresees: whether it can foresee the state at which a plan starts.
        blocks: whether :meth:`submit` returns only when the plan is made.
        broken: what has happened to it, or None while it can plan.
        patience: how long a plan may take [s]; a worker that takes longer counts as hanging.
        closing: what is closed at the end.
    """

    name: str
    foresees: bool
    blocks: bool = False
    broken: str | None = None

    def __init__(self, patience: float = 60.0) -> None:
        self.patience = patience
        self.closing = ExitStack()

    @abstractmethod
    def submit(self, request: PlanRequest) -> Future[PlanReply]:
        """Begin a plan, when the one before is finished."""

    @abstractmethod
    def restart_if_broken(self) -> None:
        """Be ready for a new episode: restart what has died, or hangs in a plan of an earlier one.

        Raises:
            PlanWorkerError: that can't be done.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.close()


class InlineWorker(PlanWorker):
    """Plans in the controller's thread, which waits for it: for simulations.

    Args:
        planner: makes the plans.
        advance: foresees the state at which a plan starts; None if the task can't.
    """

    blocks = True

    def __init__(self, planner: Planner, advance: Advance | None = None) -> None:
        super().__init__()
        self._maker = PlanMaker(planner, advance)
        self.name = self._maker.name
        self.foresees = advance is not None

    def submit(self, request: PlanRequest) -> Future[PlanReply]:
        """Make the plan."""
        done: Future[PlanReply] = Future()
        try:
            done.set_result(self._maker.make(request))
        except Exception as error:
            done.set_exception(error)
        return done

    def restart_if_broken(self) -> None:
        """Nothing: there is nothing that can break."""


class ThreadWorker(PlanWorker):
    """Plans in a thread beside the controller.

    The two share one interpreter, which a planner can hold for some milliseconds; where the
    controller must be on time, take a process.

    Args:
        planner: makes the plans.
        advance: foresees the state at which a plan starts; None if the task can't.
        patience: how long a plan may take [s].
    """

    def __init__(
        self, planner: Planner, advance: Advance | None = None, patience: float = 60.0
    ) -> None:
        super().__init__(patience)
        self.planner = planner
        self._maker = PlanMaker(planner, advance)
        self._latest: Future[PlanReply] | None = None
        self._thread = CallThread(f"plans of {self._maker.name}")
        self.closing.callback(self._thread.close)
        self.name = f"the plan thread of {self._maker.name}"
        self.foresees = advance is not None

    def submit(self, request: PlanRequest) -> Future[PlanReply]:
        """Begin the plan."""
        self._latest = self._thread.submit(self._maker.make, request)
        return self._latest

    def restart_if_broken(self) -> None:
        """Wait for a plan that is still being made: a thread can't be ended.

        Raises:
            PlanWorkerError: it takes longer than the patience.
        """
        if self._latest is None:
            return
        wait([self._latest], self.patience)
        if not self._latest.done():
            raise PlanWorkerError(
                f"{self.name} still makes a plan of an earlier episode, after {self.patience:g} s: "
                "a thread can't be ended, so start anew, or plan in a process"
            )
