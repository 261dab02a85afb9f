"""From a task's name and its options to the task, opened: what every experiment begins with."""

from __future__ import annotations

import types
import typing
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.errors import UsageError
from codi_core.host.choices import make_part
from codi_core.host.plugins import Host, load_plugins
from codi_core.quantities import flag, unlike

if TYPE_CHECKING:
    from codi_core.host.assembly import OpenTask
    from codi_core.tasks import Task


@attrs.frozen(eq=False)
class InstalledTask:
    """An installed task; its options are not chosen yet.

    Attributes:
        host: what is registered.
        name: the name that the task is registered under.
        task: the task.
        warn: takes what is to be said when it is opened.
    """

    host: Host
    name: str
    task: Task
    warn: Callable[[str], None] = warnings.warn

    def open(self, options: Mapping[str, Any] | None = None) -> OpenTask:
        """The task for these values of its own options; what isn't given has its default.

        Raises:
            UsageError: a missing or unknown option, or a value that it refuses.
        """
        from codi_core.host.assembly import OpenTask
        from codi_core.tasks import TaskParts

        made = make_options(self.task.Options, options or {}, self.name)
        what = f"task '{self.name}'"
        parts = make_part(self.task.parts, what, made, kind=TaskParts)
        opened = OpenTask(self.host, self.name, self.task, made, parts)
        for message in opened.shadowed():
            self.warn(message)
        return opened


def find_task(
    name: str | None, strict: bool = False, warn: Callable[[str], None] = warnings.warn
) -> InstalledTask:
    """Load the plugins and find a task.

    Args:
        name: the task's.
        strict: a broken plugin is an error, not a warning.
        warn: takes what is to be said about plugins.

    Raises:
        UsageError: no task was named, or there is none of that name.
        PluginError: a broken plugin in strict mode, or a task that lacks a package.
    """
    host = load_plugins(strict=strict, warn=warn)
    if name is None:
        valid = ", ".join(host.tasks.names()) or "none is installed"
        raise UsageError(f"which task? give --task NAME; valid: {valid}{host.tasks.hint}")
    host.tasks.get(name)  # a typo is reported before torch is imported
    from codi_core.host.assembly import make_task

    return InstalledTask(host, name, make_task(host, name), warn)


def make_options(options: type[Any], values: Mapping[str, Any], task: str) -> Any:
    """An instance of a task's ``Options`` from given or stored values.

    Raises:
        UsageError: a missing or unknown value, or one that a validator refuses.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"task '{task}': its options must be named values, not {values!r}")
    hints = typing.get_type_hints(options)
    known = {field.name: field for field in attrs.fields(options) if field.init}
    for name in values:
        if name not in known:
            raise UsageError(f"task '{task}' has no option '{name}'; it has: {', '.join(known)}")
    missing = [
        name
        for name, field in known.items()
        if field.default is attrs.NOTHING and name not in values
    ]
    if missing:
        flags = ", ".join(map(flag, missing))
        raise UsageError(f"task '{task}' needs {flags}")
    arguments = {
        known[name].alias: _restored(value, hints.get(name)) for name, value in values.items()
    }
    try:
        made = options(**arguments)
    except (ValueError, TypeError) as error:
        raise UsageError(f"task '{task}': {error}") from error
    for name in known:
        value = getattr(made, name)
        wanted = unlike(value, hints.get(name))
        if wanted is not None:
            raise UsageError(f"task '{task}': {flag(name)} must be {wanted}, not {value!r}")
    return made


def without_none(hint: Any) -> Any:
    """The type that an annotation has besides None; str where there are several."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [part for part in typing.get_args(hint) if part is not type(None)]
        return kinds[0] if len(kinds) == 1 else str
    return hint


def _restored(value: Any, hint: Any) -> Any:
    """JSON and argparse have lists where the field has a tuple, and texts for paths."""
    kind = without_none(hint)
    if isinstance(value, Sequence) and typing.get_origin(kind) is tuple:
        return tuple(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value
