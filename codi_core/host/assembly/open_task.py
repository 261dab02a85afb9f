"""A task that is open for one set of its own options."""

from __future__ import annotations

from typing import Any

import attrs

from codi_core.errors import SpecificationError
from codi_core.host.assembly.costs import own_costs
from codi_core.host.assembly.names import shadowed
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

    def shadowed(self) -> list[str]:
        """What is to be said of plugins' parts that have the names of the task's own ones."""
        host = self.host
        own = (
            (own_costs(self.name, self.task), host.costs),
            (self.parts.predictors, host.predictors),
            (self.parts.policies, host.base_policies),
        )
        return [
            message
            for names, registry in own
            for message in shadowed(names, registry, host.tasks, self.name)
        ]


def make_task(host: Host, name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: there is none; the message lists the valid names.
        PluginError: something that it needs is not installed.
    """
    record = host.tasks.get(name)
    what = f"task '{name}' of '{host.tasks.origin(name)}'"
    task: Task = make_part(record.factory, what, kind=Task)
    for options in (task.Options, task.CollectionOptions):
        if not attrs.has(options):
            raise SpecificationError(
                f"the options of {what} must be an attrs class, not {options!r}"
            )
    return task
