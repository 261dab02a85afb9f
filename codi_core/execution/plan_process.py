"""Plans in a process of their own, where nothing holds up the controller's interpreter."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from codi_core.errors import PlanWorkerError
from codi_core.execution.messages import packed, packed_error, unpacked
from codi_core.execution.plan_maker import PlanMaker
from codi_core.execution.plan_request import PlanReply, PlanRequest
from codi_core.execution.plan_worker import PlanWorker
from codi_core.tasks.call_thread import CallThread

PlanMakerFactory = Callable[[], PlanMaker]
"""Makes the planner, and what foresees, in the process that plans. It can be pickled: a function of
a module, or a ``functools.partial`` of one."""

STARTING = 120.0
"""How long the process may take to import everything and make the planner [s]."""

FINISHING = 5.0
"""How long it may take, at the start of an episode, to finish a plan of the one before [s]."""


class ProcessWorker(PlanWorker):
    """Plans in a process of its own; for real systems.

    The process ends when the worker is closed, and when the process that made it ends, however
    that happens. If it dies, the plan fails at once, and the next episode starts a new one.

    Args:
        factory: makes planner and foresight there.
        patience: how long a plan may take [s].

    Raises:
        PlanWorkerError: the process can't be started.
        Exception: what the factory raised.
    """

    def __init__(self, factory: PlanMakerFactory, patience: float = 60.0) -> None:
        super().__init__(patience)
        self._factory = factory
        self._latest: Future[PlanReply] | None = None
        self._start()
        self.closing.callback(self._end)

    @property
    def pid(self) -> int | None:
        """The process's number."""
        return self._child.pid

    def submit(self, request: PlanRequest) -> Future[PlanReply]:
        """Begin the plan."""
        # Even sending can take long, to a process that doesn't read: the thread is held up by it.
        self._latest = self._thread.submit(self._child.make, request)
        return self._latest

    def restart_if_broken(self) -> None:
        """Start a new process if this one has died, or does not finish its latest plan soon."""
        if self._latest is not None:
            wait_for([self._latest], min(self.patience, FINISHING))
        busy = self._latest is not None and not self._latest.done()
        if busy or not self._child.alive:
            self._end()
            self._start()

    def _start(self) -> None:
        child = PlanProcess(self._factory)
        self._child, self._latest, self.broken = child, None, None
        self.name, self.foresees = child.name, child.foresees
        self._thread = CallThread(child.name)
        watch = CallThread(f"watch over {child.name}")
        watch.submit(self._watch, child)
        watch.close()

    def _watch(self, child: PlanProcess) -> None:
        """Notice a death that comes between two plans, too."""
        death = child.wait_for_death()
        if death is not None and child is self._child:
            self.broken = str(death)

    def _end(self) -> None:
        self._child.end()
        self._thread.close()


class PlanProcess:
    """A process that makes plans, as the process sees it that asks for them.

    Attributes:
        name: what messages call it.
        foresees: whether it can foresee the state at which a plan starts.
    """

    def __init__(self, factory: PlanMakerFactory) -> None:
        # A fork would copy the threads' locks, and can't use a GPU that is in use.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self.name, self._ended = "the plan process", False
        # Not a daemon: planners may have processes of their own, such as simulators.
        self._process = context.Process(
            target=_serve, args=(theirs, factory, torch.get_num_threads()), daemon=False
        )
        try:
            self._process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise PlanWorkerError(
                f"what makes the planner can't be sent to another process: {error}"
            ) from error
        finally:
            theirs.close()
        atexit.register(self.end)
        try:
            name, self.foresees = self._received(STARTING)
        except BaseException:
            self.end()
            raise
        self.name = f"the plan process of {name} (pid {self.pid})"

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.is_alive()

    def make(self, request: PlanRequest) -> PlanReply:
        """The plan that is asked for.

        Raises:
            PlanWorkerError: the process died.
            Exception: what planning raised.
        """
        try:
            self._connection.send_bytes(packed(request))
        except OSError:
            raise self._death() from None
        reply: PlanReply = self._received(None)
        return reply

    def wait_for_death(self) -> PlanWorkerError | None:
        """Wait until it ends; None if it was ended on purpose."""
        wait([self._process.sentinel])
        return None if self._ended else self._death()

    def end(self) -> None:
        """End the process, whatever it does."""
        self._ended = True
        atexit.unregister(self.end)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _received(self, patience: float | None) -> Any:
        try:
            if not wait([self._connection, self._process.sentinel], patience):
                raise PlanWorkerError(f"{self.name} has not answered for {patience:g} s")
            good, content = unpacked(self._connection.recv_bytes())
        except (EOFError, OSError):
            raise self._death() from None
        if good:
            return content
        data, trace = content
        error: Exception = unpacked(data)
        error.add_note(f"in {self.name}:\n{trace}")
        raise error

    def _death(self) -> PlanWorkerError:
        # The watch may be about to note the exit code; until then nobody else can learn it.
        given_up = time.monotonic() + 1.0
        while self._process.exitcode is None and time.monotonic() < given_up:
            time.sleep(0.005)
        return PlanWorkerError(f"{self.name} died (exit code {self._process.exitcode})")


def _serve(connection: Connection, factory: PlanMakerFactory, threads: int) -> None:
    """Make plans until nobody can ask for them any more; the process's main function."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other process's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        maker = factory()
        connection.send_bytes(packed((True, (maker.name, maker.advance is not None))))
    except Exception as error:
        connection.send_bytes(_bad(error))
        return
    while True:
        try:
            data = connection.recv_bytes()
        except EOFError:
            return
        try:
            answer = packed((True, maker.make(unpacked(data))))
        except Exception as error:
            answer = _bad(error)
        connection.send_bytes(answer)


def _bad(error: Exception) -> bytes:
    return packed((False, (packed_error(error), traceback.format_exc())))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
