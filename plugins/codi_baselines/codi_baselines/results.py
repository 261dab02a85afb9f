"""How jobs of ``codi-bench`` end: pictures, files, and what to type after an interruption."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from codi_core.commands.errors import INTERRUPTED, print_error, print_warning
from codi_core.commands.output import say
from codi_core.errors import MissingExtraError


def draw(write_picture: Callable[[], Path]) -> list[Path]:
    """Draw a picture if that can be done here; returns its path, or none with a warning."""
    try:
        return [write_picture()]
    except MissingExtraError as error:
        print_warning(f"no picture was drawn: {error}")
        return []


def name_files(paths: Iterable[Path]) -> None:
    """Say what was written."""
    for path in paths:
        say(f"wrote {path}")


def conclude(finished: bool, done: str, folder: Path, command: str) -> int:
    """The exit code; after an interruption it is said how to go on.

    Args:
        finished: whether there was none.
        done: what has been done, such as "3 cells".
        folder: where that is.
        command: what is typed to go on, without the options of the output.
    """
    if finished:
        return 0
    print_error(
        f"interrupted after {done}, which are in '{folder}'; go on with the same options and: "
        f"{command} --resume --output {shlex.quote(str(folder))}"
    )
    return INTERRUPTED
