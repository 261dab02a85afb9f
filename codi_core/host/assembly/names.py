"""The records that suit a task, and messages for those that don't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from codi_core.errors import UsageError
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
    task: str,
    bind: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda factory: factory,
) -> Mapping[str, Callable[..., Any]]:
    """The task's own factories, and those that are registered for it under other names."""
    registered = {record.name: bind(record.factory) for record in suiting(registry, task)}
    return {**own, **{name: make for name, make in registered.items() if name not in own}}


def shadowed(
    own: Iterable[str], registry: Registry[Any], tasks: Registry[Any], task: str
) -> list[str]:
    """What is to be said of registered parts that the task has under the same names itself."""
    kind, names = registry.kind, set(own)
    return [
        f"{kind} '{record.name}' of '{registry.origin(record.name)}' is not used with task "
        f"'{task}', which has one of that name by itself (it is of '{tasks.origin(task)}'): "
        "rename either"
        for record in suiting(registry, task)
        if record.name in names
    ]


def unknown_for(
    registry: Registry[Any], task: str, name: str, valid: Mapping[str, Any]
) -> UsageError:
    """The error for a name that isn't among the valid ones for the task.

    Raises:
        PluginError: several distributions have registered the name.
    """
    registry.check_undisputed(name)
    record: ForTasks | None = registry.get(name) if name in registry else None
    if record is not None and record.tasks:
        meant = ", ".join(record.tasks)
        return UsageError(
            f"{registry.kind} '{name}' is meant for the task {meant}, not for '{task}'"
        )
    return unknown_name(registry.kind, name, valid, registry.hint)
