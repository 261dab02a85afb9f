"""Work that an interruption must not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What asks a process to end: Ctrl-C, and what batch systems and containers send."""


@contextmanager
def noted() -> Iterator[list[int]]:
    """Note what asks the process to end, for a body that looks at the list now and then.

    Signals reach the main thread only; in others the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {kind: signal.getsignal(kind) for kind in SIGNALS}
    for kind in SIGNALS:
        signal.signal(kind, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for kind, handler in before.items():
            # None: whoever set it is no Python code, and can't be put back.
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back what asks the process to end until the body is done."""
    received: list[int] = []
    try:
        with noted() as received:
            yield
    finally:
        if received:
            signal.raise_signal(received[0])
