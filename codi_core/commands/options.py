"""Command-line options from attrs classes."""

from __future__ import annotations

import argparse
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import attrs

from codi_core.errors import UsageError
from codi_core.experiments.opening import without_none
from codi_core.host.registry import nearest_first
from codi_core.version import __version__


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


def add_version(parser: argparse.ArgumentParser, version: str = __version__) -> None:
    """Add ``--version``, which ends the command.

    Args:
        parser: where the option goes.
        version: of the distribution that brings the command.
    """
    parser.add_argument(
        "--version",
        action="version",
        version=f"{parser.prog} {version}",
        help="show the version, and nothing else",
    )


def add_fields(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    options: type[Any],
    defaults: Mapping[str, Any] | None = None,
    prefix: str = "",
    names: Mapping[str, Sequence[str]] | None = None,
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
        names: by field, the names that it takes; the help lists them.
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
        settings["help"] = _help(field, defaults or {}, (names or {}).get(field.name, ()))
        try:
            parser.add_argument(
                flag, dest=prefix + field.name, default=argparse.SUPPRESS, **settings
            )
        except argparse.ArgumentError as error:
            raise UsageError(
                f"the task's option {flag} has the name of an option of the command: rename it"
            ) from error


def _settings(field: Any, hint: Any) -> dict[str, Any]:
    kind = without_none(hint)
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
        count |= {"metavar": field.name.upper()}
        return {"type": parts[0], **({} if "action" in given else count), **given}
    # Not by argparse, which would show where the value is stored.
    shown = {} if "choices" in given else {"metavar": field.name.upper()}
    return {"type": kind if kind in (int, float, str, Path) else str, **shown, **given}


def _help(field: Any, defaults: Mapping[str, Any], names: Sequence[str]) -> str:
    text = str(field.metadata.get("help", "")).replace("%", "%%")
    if names:
        text = f"{text}; one of {', '.join(names)}"
    default = defaults.get(field.name, field.default)
    if default is attrs.NOTHING:
        return f"{text} (required)".strip()
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory() if not default.takes_self else None
    if default is None or isinstance(default, bool) or default == ():
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple | list) else str(default)
    return f"{text} (default: {shown})".strip().replace("%%", "%").replace("%", "%%")
