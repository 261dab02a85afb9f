"""What commands say on standard output."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import Any

_SPELLED = {
    "λ": "lambda",
    "σ": "sigma",
    "Σ": "Sigma",
    "π": "pi",
    "∂": "d",
    "…": "...",
    "–": "-",
    "±": "+-",
    "×": "x",
    "·": "*",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "²": "^2",
    "⁻": "^-",
    "¹": "1",
    "‘": "'",
    "’": "'",
}
"""How characters are written where the output has no room for them; others become "?"."""


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

    console = Console()
    columns = console.width if console.is_terminal or width is None else width
    # With the encoding of the output: rich draws other lines where it has none.
    text = io.TextIOWrapper(io.BytesIO(), console.encoding, _SPELL, newline="\n")
    terminal = Console(file=text, width=columns, force_terminal=console.is_terminal)
    terminal.print(renderable)
    text.seek(0)
    say(text.read().rstrip("\n"))


def spell_out() -> None:
    """Have what standard output can't encode, such as λ in ASCII, written in other characters."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors=_SPELL)


def mute() -> None:
    """Send what is still to be printed nowhere: the reader has left, or the disk is full."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_SPELL = "codi-spell"


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SPELLED.get(c, "?") for c in error.object[error.start : error.end]), error.end


codecs.register_error(_SPELL, _spell)
