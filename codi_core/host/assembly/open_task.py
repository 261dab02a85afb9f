"""A task that is open for one set of its own options."""

from __future__ import annotations

from typing import Any

import attrs

from codi_core.host.choices import make_part
from codi_core.host.plugins import Host
from codi_core.tasks import Task, TaskParts


@attrs.frozen(eq=False)
class OpenTask:
    """An installed task, made for one set of its own options.

    Attributes:
        host: what is registered.
        name: the name that the task is registered under.
        task: the task.
        options: an instance of its ``Options``.
        parts: its parts for these options.
    """

    host: Host
    name: str
    task: Task
    options: Any
    parts: TaskParts


def make_task(host: Host, name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none; the message lists the valid names.
        PluginError: something that it needs is not installed.
    """
    record = host.tasks.get(name)
    task: Task = make_part(record.factory, f"task '{name}' of '{host.tasks.origin(name)}'")
    return task
