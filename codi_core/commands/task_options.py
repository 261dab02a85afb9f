"""Parsing for commands whose options depend on their ``--task``."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codi_core.commands.errors import print_warning
from codi_core.commands.options import Parser, add_version
from codi_core.experiments.opening import InstalledTask, find_task
from codi_core.host.discovery import installed

if TYPE_CHECKING:
    from codi_core.tasks import Task

TASK_PREFIX = "task."
"""Goes before the names under which the task's own options are parsed."""


def parse_for_task(
    prog: str,
    make_parser: Callable[[str | None, Task | None], Parser],
    arguments: Sequence[str],
    task: str | None = None,
) -> tuple[InstalledTask, argparse.Namespace] | None:
    """Parse the arguments of a command whose options depend on its ``--task``.

    Args:
        prog: the command's name.
        make_parser: from the task's name and the task, or from None and None for the help
            without a task.
        arguments: what was typed.
        task: the task's name if none was typed.

    Returns:
        The task and what was given; None if help was asked for and is printed.
    """
    first = Parser(prog=prog, add_help=False)
    first.add_argument("-h", "--help", action="store_true")
    first.add_argument("--task")
    first.add_argument("--strict-plugins", action="store_true")
    add_version(first)
    early, _ = first.parse_known_args(arguments)
    name = early.task or task
    if early.help and name is None:
        # Without a task nothing but metadata is read: plugins can't make this help slow.
        make_parser(None, None).print_help()
        return None
    found = find_task(name, early.strict_plugins, print_warning)
    parser = make_parser(found.name, found.task)
    if early.help:
        parser.print_help()
        return None
    return found, parser.parse_args(arguments)


def given_task_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The task's own options among all parsed values."""
    return {
        name.removeprefix(TASK_PREFIX): value
        for name, value in values.items()
        if name.startswith(TASK_PREFIX)
    }


def installed_epilog(command: str) -> str:
    """The end of a help text without a task, made from metadata alone."""
    found = ", ".join(installed()) or "none"
    return (
        f"Installed plugins: {found}. codi-plugins lists their tasks; "
        f"{command} --task NAME --help shows a task's own options."
    )


def with_examples(examples: str, epilog: str | None = None) -> dict[str, Any]:
    """Settings of a parser whose help ends with examples, as they are written, and a paragraph."""
    width = shutil.get_terminal_size().columns - 2
    paragraph = textwrap.fill(epilog or "", width, break_on_hyphens=False)
    return {
        "epilog": f"examples:\n{textwrap.indent(examples, '  ')}\n{paragraph}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
