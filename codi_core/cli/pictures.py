"""Pictures, without which a run is still a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from codi_core.commands.errors import print_warning


def attempt(name: str, write: Callable[[], Path | None]) -> list[Path]:
    """A picture that fails (no display, no codec) must not spoil a run that has its numbers."""
    from codi_core.execution.plan_maker import reason_of

    try:
        path = write()
    except Exception as error:
        print_warning(f"{name} was not written: {reason_of(error)}")
        return []
    return [] if path is None else [path]
