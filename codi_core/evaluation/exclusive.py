"""One process at a time writes a folder, or does a piece of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from codi_core.errors import UsageError
from codi_core.evaluation.durable import writing

LOCK_FILE = ".lock"


@contextmanager
def exclusive(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes from writing a folder, which is made if it isn't there.

    The operating system ends the claim with the process, however that ends; the file that stays
    behind means nothing.

    Args:
        folder: what is going to be written.
        patience: how long to wait for another process that is writing there [s].

    Raises:
        UsageError: another process is writing there, or the folder can't be written.
    """
    lock = FileLock(folder / LOCK_FILE, timeout=patience)
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


def claim(path: Path) -> BaseFileLock | None:
    """Claim the piece of work that a lock file stands for; None if somebody has claimed it.

    The claim ends with its ``release()``, or with the process.

    Args:
        path: the lock file; its folder is made if it isn't there.

    Raises:
        UsageError: the folder can't be written.
    """
    lock = FileLock(path, timeout=0)
    with writing(path.parent):
        try:
            lock.acquire()
        except Timeout:
            return None
    return lock
