"""How the checks of this package fail."""

from __future__ import annotations


class ConformanceError(AssertionError):
    """A part breaks the contract of its interface."""


def require(holds: object, message: str) -> None:
    """Raise a :class:`ConformanceError` with this message unless the condition holds."""
    if not holds:
        raise ConformanceError(message)
