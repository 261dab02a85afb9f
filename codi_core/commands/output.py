"""What commands say on standard output."""

from __future__ import annotations

import contextlib
import os
import sys


def say(text: str) -> None:
    """Print a line. If nobody can take it, nothing else changes: the work matters."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):
        mute()


def mute() -> None:
    """Send what is still to be printed nowhere: the reader has left, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
