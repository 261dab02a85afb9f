"""One process at a time writes a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from codi_core.errors import UsageError
from codi_core.evaluation.durable import writing

LOCK_FILE = ".lock"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other processes from writing a folder, which is made if it isn't there.

    The operating system ends the claim with the process, however that ends; the file that stays
    behind means nothing.

    Args:
        folder: what is going to be written.

    Raises:
        UsageError: another process is writing there, or the folder can't be written.
    """
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    with writing(folder):
        try:
            lock.acquire()
        except Timeout as error:
            raise UsageError(
                f"another process is writing '{folder}': wait for its end (or stop it, and go on "
                "with --resume), or choose another folder with --output"
            ) from error
    try:
        yield
    finally:
        lock.release()
