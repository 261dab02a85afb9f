"""What commands say on standard output."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any


def say(text: str) -> None:
    """Print a line. If nobody can take it, nothing else changes: the work matters."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):
        mute()


def show(renderable: Any, width: int | None = None) -> None:
    """Print something of rich's, such as a table, as :func:`say` prints a line.

    Args:
        renderable: what is printed.
        width: how many columns there are where nobody says so, in files for instance.
    """
    from rich.console import Console

    console, text = Console(), io.StringIO()
    columns = console.width if console.is_terminal or width is None else width
    terminal = Console(file=text, width=columns, force_terminal=console.is_terminal)
    terminal.print(renderable)
    say(text.getvalue().rstrip("\n"))


def mute() -> None:
    """Send what is still to be printed nowhere: the reader has left, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
