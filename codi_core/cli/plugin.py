"""The built-in commands, registered where they live, through everybody's hook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import CommandRecord, Main

_COMMANDS = (
    ("run", "run a task in closed loop and measure it"),
    ("collect", "collect demonstrations for a task"),
    ("train", "train a base policy on demonstrations"),
    ("distil", "distil a base policy into a student of one or two calls"),
    ("bench", "run a benchmark that a plugin registers"),
    ("plugins", "list installed plugins"),
)


@hookimpl
def codi_commands() -> Iterator[CommandRecord]:
    """The commands of codi_core."""
    for name, summary in _COMMANDS:
        yield CommandRecord(name, summary, _factory(name))


def _factory(name: str) -> Callable[[], Main]:
    return partial(_main, f"codi_core.cli.{name}")


def _main(module: str) -> Main:
    main: Main = import_module(module).main
    return main
