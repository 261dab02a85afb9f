"""Command-line options from attrs classes."""

from __future__ import annotations

import argparse
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Union

import attrs

from codi_core.errors import UsageError
from codi_core.host.registry import nearest_first


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are usage errors like all others."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        # argparse takes -1e-3 for an option; older versions have no public way to say otherwise.
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")

    def error(self, message: str) -> NoReturn:
        """Raise a usage error; for an unknown option it names the nearest one."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message and unknown.startswith("--"):
            valid = [name for action in self._actions for name in action.option_strings]
            name = unknown.split()[0].split("=")[0]
            nearest = nearest_first(name, [other for other in valid if other.startswith("--")])
            raise UsageError(
                f"unknown option {name}; did you mean {nearest[0]}? `{self.prog} --help` lists all"
            )
        raise UsageError(message.replace("argument ", "", 1))


def whole(minimum: int) -> Callable[[str], int]:
    """An argument type: a whole number of at least ``minimum``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {minimum}, not {text!r}"
            )
        return value

    return convert


def positive(text: str) -> float:
    """An argument type: a finite number above zero."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, not {text!r}")
    return value


def not_negative(text: str) -> float:
    """An argument type: a finite number of at least zero."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be zero or a positive number, not {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def add_fields(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    options: type[Any],
    defaults: Mapping[str, Any] | None = None,
    prefix: str = "",
    leave_out: Collection[str] = (),
) -> None:
    """Add one option for each field of an attrs class; what isn't given stays out of the result.

    The field ``goal_height`` becomes ``--goal-height``. Its metadata may hold ``help``,
    ``metavar``, ``nargs``, ``choices``, ``type`` (a function of one text) and ``action``.
    Booleans become ``--field`` and ``--no-field``, tuples take several values.

    Args:
        parser: where the options go.
        options: the attrs class.
        defaults: shown in the help instead of the fields' own defaults.
        prefix: put before the name under which the value is stored.
        leave_out: fields that become no option.

    Raises:
        UsageError: an option of that name exists already.
    """
    hints = typing.get_type_hints(options)
    for field in attrs.fields(options):
        if not field.init or field.metadata.get("hidden") or field.name in leave_out:
            continue
        flag = "--" + field.name.replace("_", "-")
        settings = _settings(field, hints.get(field.name, str))
        settings["help"] = _help(field, defaults or {})
        try:
            parser.add_argument(
                flag, dest=prefix + field.name, default=argparse.SUPPRESS, **settings
            )
        except argparse.ArgumentError as error:
            raise UsageError(
                f"the task's option {flag} has the name of an option of the command: rename it"
            ) from error


def _settings(field: Any, hint: Any) -> dict[str, Any]:
    kind = _without_none(hint)
    given = {
        key: field.metadata[key]
        for key in ("metavar", "nargs", "choices", "type", "action")
        if key in field.metadata
    }
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(kind) is Literal:
        return {"choices": typing.get_args(kind), **given}
    if typing.get_origin(kind) in (tuple, list):
        parts = typing.get_args(kind) or (str,)
        several = Ellipsis in parts or typing.get_origin(kind) is list
        count = {"nargs": "+" if several else len(parts)}
        return {"type": parts[0], **({} if "action" in given else count), **given}
    return {"type": kind if kind in (int, float, str, Path) else str, **given}


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (Union, types.UnionType):
        kinds = [part for part in typing.get_args(hint) if part is not type(None)]
        return kinds[0] if len(kinds) == 1 else str
    return hint


def _help(field: Any, defaults: Mapping[str, Any]) -> str:
    text = str(field.metadata.get("help", "")).replace("%", "%%")
    default = defaults.get(field.name, field.default)
    if default is attrs.NOTHING:
        return f"{text} (required)".strip()
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory() if not default.takes_self else None
    if default is None or isinstance(default, bool) or default == ():
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple | list) else str(default)
    return f"{text} (default: {shown})".strip().replace("%%", "%").replace("%", "%%")


def make_options(options: type[Any], values: Mapping[str, Any], task: str) -> Any:
    """An instance of a task's ``Options`` from parsed or stored values.

    Raises:
        UsageError: a missing or unknown value, or one that a validator refuses.
    """
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
        flags = ", ".join("--" + name.replace("_", "-") for name in missing)
        raise UsageError(f"task '{task}' needs {flags}")
    arguments = {
        known[name].alias: _restored(value, hints.get(name)) for name, value in values.items()
    }
    try:
        return options(**arguments)
    except (ValueError, TypeError) as error:
        raise UsageError(f"task '{task}': {error}") from error


def _restored(value: Any, hint: Any) -> Any:
    """JSON and argparse have lists where the field has a tuple, and texts for paths."""
    kind = _without_none(hint)
    if isinstance(value, Sequence) and typing.get_origin(kind) is tuple:
        return tuple(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    return value
