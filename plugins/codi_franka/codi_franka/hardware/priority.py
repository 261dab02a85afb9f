"""Threads that must not wait for those that plan on the same processors."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

PRIORITY = -10
"""The nice value that threads ask for which read arms or send to them."""


def hurry() -> None:
    """Ask for that for this thread, and for those that it starts."""
    with suppress(OSError):  # not permitted; the check before a run says so
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), PRIORITY)
