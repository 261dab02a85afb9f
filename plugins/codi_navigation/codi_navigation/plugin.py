"""What this distribution registers. Nothing heavy is imported before a factory is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import CommandRecord, Main, TaskRecord

if TYPE_CHECKING:
    from codi_core.tasks import Task


@hookimpl
def codi_tasks() -> Iterator[TaskRecord]:
    """Three scenarios; option ``--vehicle mixed`` gives each of them both kinds of robots."""
    yield TaskRecord("navigation-swap", "robots on a circle change places", _swap)
    yield TaskRecord(
        "navigation-corridor", "two groups change sides through a passage one robot wide", _corridor
    )
    yield TaskRecord(
        "navigation-warehouse", "robots between random shelves go to random goals", _warehouse
    )


@hookimpl
def codi_commands() -> Iterator[CommandRecord]:
    """Pictures of runs."""
    yield CommandRecord(
        "navigation-pictures", "draw GIFs and space-time plots of a navigation run", _pictures
    )


def _swap() -> Task:
    from codi_navigation.task import SwapTask

    return SwapTask()


def _corridor() -> Task:
    from codi_navigation.task import CorridorTask

    return CorridorTask()


def _warehouse() -> Task:
    from codi_navigation.task import WarehouseTask

    return WarehouseTask()


def _pictures() -> Main:
    from codi_navigation.rendering.command import main

    return main
