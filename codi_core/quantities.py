"""Numbers that a user gives: what is asked of them, wherever they come from."""

from __future__ import annotations

import argparse
import math
import types
import typing
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import attrs

from codi_core.errors import UsageError


class BadValueError(argparse.ArgumentTypeError, ValueError):
    """A value that an option doesn't take; the message says what it takes."""


def whole(minimum: int) -> Callable[[Any], int]:
    """A whole number of at least ``minimum``, from a text or a number."""

    def convert(given: Any) -> int:
        try:
            value = int(given)
        except (ValueError, TypeError, OverflowError):
            value = minimum - 1
        if value < minimum or (isinstance(given, float) and given != value):
            raise BadValueError(f"must be a whole number of at least {minimum}, not {given!r}")
        return value

    return convert


def integer(given: Any) -> int:
    """Any whole number, from a text or a number."""
    try:
        value = int(given)
    except (ValueError, TypeError, OverflowError):
        value = None
    if value is None or (isinstance(given, float) and given != value):
        raise BadValueError(f"must be a whole number, not {given!r}")
    return value


def finite(given: Any) -> float:
    """Any finite number, from a text or a number."""
    value = _number(given)
    if not math.isfinite(value):
        raise BadValueError(f"must be a finite number, not {given!r}")
    return value


def positive(given: Any) -> float:
    """A finite number above zero, from a text or a number."""
    value = _number(given)
    if not 0 < value < math.inf:
        raise BadValueError(f"must be a positive number, not {given!r}")
    return value


def not_negative(given: Any) -> float:
    """A finite number of at least zero, from a text or a number."""
    value = _number(given)
    if not 0 <= value < math.inf:
        raise BadValueError(f"must be zero or a positive number, not {given!r}")
    return value


def seconds_or_measured(given: Any) -> float | str:
    """A finite number of at least zero, or the word "measured"."""
    if given == "measured":
        return "measured"
    try:
        return not_negative(given)
    except BadValueError as error:
        raise BadValueError(
            f"must be zero, a positive number or the word 'measured', not {given!r}"
        ) from error


def _number(given: Any) -> float:
    try:
        return float(given)
    except (ValueError, TypeError):
        return math.nan


def check_fields(settings: Any) -> None:
    """Convert the fields of an attrs object by their metadata, wherever their values come from.

    ``type`` is a function of a value, or of each value of a tuple; ``choices`` are what there is.
    What comes of it must be as the field is annotated. It is meant for ``__attrs_post_init__``.

    Raises:
        UsageError: a field doesn't take its value.
    """
    hints = typing.get_type_hints(type(settings))
    for field in attrs.fields(type(settings)):
        value, choices = getattr(settings, field.name), field.metadata.get("choices")
        if choices is not None and value not in (None, *choices):
            raise UsageError(f"{flag(field.name)}: must be one of {', '.join(choices)}")
        convert: Callable[[Any], Any] | None = field.metadata.get("type")
        if convert is not None and value is not None:
            try:
                several = isinstance(value, tuple)
                value = tuple(map(convert, value)) if several else convert(value)
            except ValueError as error:
                raise UsageError(f"{flag(field.name)}: {error}") from error
            object.__setattr__(settings, field.name, value)
        wanted = unlike(value, hints[field.name])
        if wanted is not None:
            raise UsageError(f"{flag(field.name)}: must be {wanted}, not {value!r}")


def unlike(value: Any, hint: Any) -> str | None:
    """What a value must be by its annotation; None if it may do.

    Numbers must be finite, but for ``numbers.Real``: NaN passes most comparisons that are meant to
    refuse it. Annotations
    of other kinds than numbers, texts, booleans, choices, and tuples, lists and mappings of them
    say nothing.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        wanted = {argument: unlike(value, argument) for argument in arguments}
        # Nobody can ask for None but by leaving the option out.
        kinds = [kind for argument, kind in wanted.items() if kind and argument is not type(None)]
        return None if None in wanted.values() else " or ".join(kinds)
    if origin is typing.Literal:
        return None if value in arguments else f"one of {', '.join(map(str, arguments))}"
    if origin in (tuple, list):
        return _unlike_several(value, arguments, origin)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            return "named values"
        unfit = _unlike_several(list(value.values()), arguments[1:], list)
        return unfit and f"named {unfit}"
    if hint in _PLAIN:
        fits, wanted_kind = _PLAIN[hint]
        return None if fits(value) else wanted_kind
    return None


def _unlike_several(value: Any, arguments: tuple[Any, ...], kind: type) -> str | None:
    several = kind is list or Ellipsis in arguments
    if not isinstance(value, tuple | list) or not (several or len(value) == len(arguments)):
        return "several values" if several else f"{len(arguments)} values"
    each = arguments[:1] * len(value) if several else arguments
    unfit = (unlike(part, hint) for part, hint in zip(value, each, strict=True))
    return next((f"values that are each {wanted}" for wanted in unfit if wanted), None)


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


_PLAIN: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (lambda value: isinstance(value, Integral) and _is_number(value), "a whole number"),
    float: (_is_number, "a finite number"),
    Real: (lambda value: isinstance(value, Real), "a number"),
    str: (lambda value: isinstance(value, str), "a text"),
    type(None): (lambda value: value is None, "left out"),
}


def flag(field: str) -> str:
    """The option of a field: ``--learning-rate`` for ``learning_rate``."""
    return "--" + field.replace("_", "-")
