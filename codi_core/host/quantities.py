"""Numbers that a user gives: what is asked of them, wherever they come from."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


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
        raise BadValueError(f"{error}, and not the word 'measured' either") from error


def _number(given: Any) -> float:
    try:
        return float(given)
    except (ValueError, TypeError):
        return math.nan
