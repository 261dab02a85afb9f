"""How commands end: errors as messages, never as tracebacks of our own."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from codi_core.commands.output import mute, spell_out
from codi_core.errors import (
    OUT_OF_MEMORY,
    CodiError,
    EpisodeError,
    PartError,
    is_out_of_memory,
)

INTERRUPTED = 130
"""The exit code after Ctrl-C: 128 + SIGINT."""

_PACKAGE = str(Path(__file__).resolve().parent.parent)


class Main(Protocol):
    """A command's entry, for consoles (no argument) and for tests."""

    def __call__(self, argv: Sequence[str] | None = None, /) -> int:
        """Run the command; returns the exit code."""
        ...


def guarded(main: Callable[[Sequence[str] | None], int]) -> Main:
    """Wrap a command's ``main`` so that what the user can mend ends in a message.

    A :class:`CodiError` prints its message and exits with its code. The error of a part that
    raised, or of what broke every episode, shows the traceback of the user's code. Ctrl-C exits
    with 130. Where the memory does not suffice, a message says so. Anything else is a bug and keeps
    its traceback.
    """

    @functools.wraps(main)
    def run(argv: Sequence[str] | None = None) -> int:
        spell_out()
        try:
            with _terminable():
                code = main(argv)
            _flush()
            return code
        except CodiError as error:
            if isinstance(error, (PartError, EpisodeError)) and error.__cause__ is not None:
                sys.stderr.write(user_traceback(error.__cause__))
            print_error(str(error))
            return error.exit_code
        except KeyboardInterrupt as error:
            print_error(f"interrupted {error}".rstrip())
            return INTERRUPTED
        except BrokenPipeError:
            # The reader (head, less) has left: nothing to say, and nobody to say it to.
            mute()
            return 0
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            print_error(f"{OUT_OF_MEMORY}: ask for less at once")
            return 1

    return run


@contextmanager
def _terminable() -> Iterator[None]:
    """Let what ends a program end a command as Ctrl-C does.

    SIGTERM is what batch systems and containers send; SIGHUP comes when the terminal is lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    ending = [signal.SIGTERM]
    # A command that was started with nohup goes on.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ending.append(signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in ending]
    try:
        yield
    finally:
        for number, handler in zip(ending, before, strict=True):
            signal.signal(number, handler)


def _flush() -> None:
    """Write out what was printed; who reads it does not decide how the command ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        mute()


def print_error(message: str) -> None:
    """Print "error: message" to standard error, in red on a terminal."""
    _labelled("error:", "31", message)


def print_warning(message: str) -> None:
    """Print "warning: message" to standard error, in yellow on a terminal."""
    _labelled("warning:", "33", message)


def user_traceback(error: BaseException) -> str:
    """The traceback of an error from the first frame outside codi_core on."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    # A cost that ships with codi_core has no foreign frames: show all of them then.
    shown = trace or error.__traceback__
    return "".join(traceback.format_exception(type(error), error, shown))


def _is_ours(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_filename.startswith(_PACKAGE + os.sep)


def _labelled(label: str, colour: str, message: str) -> None:
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        label = f"\x1b[1;{colour}m{label}\x1b[0m"
    print(f"{label} {message}", file=sys.stderr)
