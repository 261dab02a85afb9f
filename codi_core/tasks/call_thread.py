"""A thread that makes calls for somebody who must not be held up by them."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

_Calls = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]

LEAVING = 5.0
"""How long the program waits at its end for calls that are still being made [s]."""

_RUNNING: weakref.WeakKeyDictionary[threading.Thread, _Calls] = weakref.WeakKeyDictionary()


class CallThread:
    """Makes calls one after the other in one thread; a call that hangs keeps no program alive.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: _Calls = SimpleQueue()
        self._thread = threading.Thread(target=_serve, args=(self._calls,), name=name, daemon=True)
        self._thread.start()
        _RUNNING[self._thread] = self._calls
        weakref.finalize(self, self._calls.put, None)  # nobody can close a thread that is forgotten

    @property
    def is_current(self) -> bool:
        """Whether this is asked in the thread itself, by what it calls."""
        return threading.current_thread() is self._thread

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Have it call ``function(*arguments)`` when the calls before are done."""
        future: Future[Any] = Future()
        self._calls.put((future, lambda: function(*arguments)))
        return future

    def close(self) -> None:
        """End the thread after its calls; nothing waits for it."""
        self._calls.put(None)


def _serve(calls: _Calls) -> None:
    while (item := calls.get()) is not None:
        future, call = item
        # Who was interrupted while it waited may leave a lock behind that can't be let go of.
        with suppress(RuntimeError, InvalidStateError):
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
        del item, future, call  # what was returned is not kept until the next call


@atexit.register
def _finish() -> None:
    # An interpreter that ends while a thread is inside a tensor operation aborts the program.
    until = time.monotonic() + LEAVING
    with suppress(KeyboardInterrupt):  # who doesn't want to wait needn't
        for thread, calls in list(_RUNNING.items()):
            calls.put(None)
            thread.join(max(0.0, until - time.monotonic()))
