"""Runs the commands and jobs that plugins register."""

from __future__ import annotations

from collections.abc import Sequence

from codi_core.errors import SpecificationError
from codi_core.host.choices import make_part
from codi_core.host.records import BenchmarkRecord, CommandRecord


def run_registered(
    record: CommandRecord | BenchmarkRecord, what: str, arguments: Sequence[str]
) -> int:
    """Run what a record stands for; returns its exit code.

    Args:
        record: the record.
        what: how messages call it, such as "command 'solve'".
        arguments: what was typed behind its name.

    Raises:
        SpecificationError: the record's factory makes nothing that can be run, or what is run
            doesn't say how it ended.
    """
    main = make_part(record.factory, what)
    if not callable(main):
        raise SpecificationError(
            f"{what} cannot be run: its factory must return the function to run, not {main!r}"
        )
    code: object = main(arguments)
    if not isinstance(code, int):
        raise SpecificationError(
            f"{what} has ended, but returned {code!r}; it must return its exit code, 0 for success"
        )
    return code
