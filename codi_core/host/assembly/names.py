"""The records that suit a task, and messages for those that don't."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from codi_core.errors import PluginError, UsageError
from codi_core.host.plugins import Host
from codi_core.host.records import ForTasks
from codi_core.host.registry import Registry, unknown_name


def suiting(registry: Registry[Any], task: str) -> list[Any]:
    """The records that are meant for the task."""
    return [record for record in registry if record.suits(task)]


def suitable(registry: Registry[Any], task: str, name: str) -> Any:
    """The record of that name, if it is meant for the task."""
    valid = {record.name: record for record in suiting(registry, task)}
    if name not in valid:
        raise unknown_for(registry, task, name, valid)
    return valid[name]


def with_registered(
    own: Mapping[str, Callable[..., Any]],
    registry: Registry[Any],
    host: Host,
    task: str,
    bind: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda factory: factory,
) -> Mapping[str, Callable[..., Any]]:
    """The task's own factories, and those that are registered for it.

    Raises:
        PluginError: one of the latter has the name of one of the former.
    """
    valid = dict(own)
    for record in suiting(registry, task):
        if record.name in own:
            kind = registry.kind
            raise PluginError(
                f"{kind} '{record.name}' of '{registry.origin(record.name)}' has the name of a "
                f"{kind} of task '{task}' of '{host.tasks.origin(task)}': rename or uninstall it"
            )
        valid[record.name] = bind(record.factory)
    return valid


def unknown_for(
    registry: Registry[Any], task: str, name: str, valid: Mapping[str, Any]
) -> UsageError:
    """The error for a name that isn't among the valid ones for the task."""
    record: ForTasks | None = registry.get(name) if name in registry else None
    if record is not None and record.tasks:
        meant = ", ".join(record.tasks)
        return UsageError(
            f"{registry.kind} '{name}' is meant for the task {meant}, not for '{task}'"
        )
    return unknown_name(registry.kind, name, valid, registry.hint)
