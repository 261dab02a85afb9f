"""What commands with ``--task`` begin with: plugins, then the task, then its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.cli.errors import print_warning
from codi_core.cli.options import Parser
from codi_core.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from codi_core.host.plugins import Host
    from codi_core.tasks import Task

TASK_PREFIX = "task."
"""Goes before the names under which the task's own options are parsed."""


@attrs.frozen
class Opened:
    """An installed task, made.

    Attributes:
        host: what is registered.
        task: the task.
        name: the name that it is registered under.
    """

    host: Host
    task: Task
    name: str


def open_task(strict: bool, name: str | None) -> Opened:
    """Load the plugins and make the task.

    Raises:
        UsageError: no task was named, or there is none of that name.
        PluginError: a broken plugin in strict mode, or a task that lacks a package.
    """
    from codi_core.host.plugins import load_plugins

    host = load_plugins(strict=strict, warn=print_warning)
    if name is None:
        valid = ", ".join(host.tasks.names()) or "none is installed"
        raise UsageError(f"which task? give --task NAME; valid: {valid}{host.tasks.hint}")
    host.tasks.get(name)  # a typo is reported before torch is imported
    from codi_core.host.assembly import make_task

    return Opened(host, make_task(host, name), name)


def parse_for_task(
    prog: str, make_parser: Callable[[str | None, Task | None], Parser], arguments: Sequence[str]
) -> tuple[Opened, argparse.Namespace] | None:
    """Parse the arguments of a command whose options depend on its ``--task``.

    Args:
        prog: the command's name.
        make_parser: from the task's name and the task, or from None and None for the help
            without a task.
        arguments: what was typed.

    Returns:
        The task and what was given; None if help was asked for and is printed.
    """
    first = Parser(prog=prog, add_help=False)
    first.add_argument("-h", "--help", action="store_true")
    first.add_argument("--task")
    first.add_argument("--strict-plugins", action="store_true")
    early, _ = first.parse_known_args(arguments)
    if early.help and early.task is None:
        # Without a task nothing but metadata is read: plugins can't make this help slow.
        make_parser(None, None).print_help()
        return None
    opened = open_task(early.strict_plugins, early.task)
    parser = make_parser(opened.name, opened.task)
    if early.help:
        parser.print_help()
        return None
    return opened, parser.parse_args(arguments)


def given_task_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The task's own options among all parsed values."""
    return {
        name.removeprefix(TASK_PREFIX): value
        for name, value in values.items()
        if name.startswith(TASK_PREFIX)
    }


def installed_epilog(command: str) -> str:
    """The end of a help text without a task, made from metadata alone."""
    from codi_core.host.plugins import installed

    found = ", ".join(installed()) or "none"
    return (
        f"Installed plugins: {found}. codi-plugins lists their tasks; "
        f"{command} --task NAME --help shows a task's own options."
    )
