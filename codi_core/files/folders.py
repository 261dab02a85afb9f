"""Folders that commands write: each holds one kind of thing, and has one writer at a time."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from codi_core.errors import UsageError
from codi_core.files.durable import write_durably, writing

LOCK_FILE = ".lock"
KIND_FILE = ".codi-kind"

RUN = "run"
TRAINING = "training"
DATA_SET = "data set"
BENCHMARK = "benchmark"
GRID = "grid"


@contextmanager
def claimed(
    folder: Path,
    kind: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    own: Collection[str] | None = None,
    patience: float = 0.0,
    option: str = "--output",
) -> Iterator[None]:
    """Keep a folder for one kind of thing and one writer; it is made if it isn't there.

    The operating system ends the claim with the process, however that ends. What the folder is
    for stands in the hidden file ``.codi-kind``. A claim under which nothing was written leaves
    nothing behind, but for one of those that wait for each other: another process may be about to
    claim what this one would take away.

    Args:
        folder: what is going to be written.
        kind: what it is going to hold, such as :data:`RUN`.
        resume: go on with what is there.
        overwrite: replace what is there; the caller removes it.
        own: the names of the files that are written, if others may lie beside them; None if they
            may not.
        patience: how long to wait for another process that is writing there [s].
        option: with which a user chooses the folder, for messages.

    Raises:
        UsageError: another process is writing there, the folder can't be written or holds
            something else, or it holds such a thing already and ``resume`` and ``overwrite`` are
            both false.
    """
    fresh = not folder.exists()
    with exclusive(folder, patience, option):
        _check(folder, kind, resume or overwrite, own, option)
        if kind_of(folder) != kind:
            with writing(folder, option=option):
                write_durably(folder / KIND_FILE, f"{kind}\n")
        try:
            yield
        finally:
            if not patience:
                _tidy(folder, fresh)


@contextmanager
def exclusive(folder: Path, patience: float = 0.0, option: str = "--output") -> Iterator[None]:
    """Keep other processes from writing a folder, whatever it holds; see :func:`claimed`.

    Args:
        folder: what is going to be written; it is made if it isn't there.
        patience: how long to wait for another process that is writing there [s].
        option: with which a user chooses the folder, for messages.

    Raises:
        UsageError: another process is writing there, or the folder can't be written.
    """
    lock = FileLock(folder / LOCK_FILE, timeout=patience)
    with writing(folder, option=option):
        try:
            lock.acquire()
        except Timeout as error:
            raise UsageError(
                f"another process is writing '{folder}': wait for its end (or stop it, and go on "
                f"with --resume), or choose another folder with {option}"
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


def kind_of(folder: Path) -> str | None:
    """What a folder holds, as :func:`claimed` left it; None if it doesn't say."""
    try:
        return (folder / KIND_FILE).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def visible(folder: Path) -> list[str]:
    """The names of what lies in a folder, without hidden files; none if there is no folder."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir())
    # A fresh mount point has this one.
    return sorted(name for name in names if not name.startswith(".") and name != "lost+found")


def _check(folder: Path, kind: str, wanted: bool, own: Collection[str] | None, option: str) -> None:
    there, names = kind_of(folder), visible(folder)
    if own is not None:
        names = [name for name in names if name in own]
    if there is not None and there != kind and visible(folder):
        raise UsageError(
            f"'{folder}' holds a {there}, not a {kind}: choose another folder with {option}"
        )
    if there is None and names:
        raise UsageError(
            f"'{folder}' is not empty, and nothing says that it holds a {kind} (there is "
            f"{_listed(names)}): choose another folder with {option}"
        )
    if names and not wanted:
        raise UsageError(
            f"'{folder}' already holds a {kind}: --resume goes on with it, --overwrite replaces "
            f"it, {option} chooses another folder"
        )


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (", …" if len(names) > 3 else "")


def _tidy(folder: Path, fresh: bool) -> None:
    """Take away what the claim itself put there, if nothing else has been."""
    if visible(folder):
        return
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        (folder / KIND_FILE).unlink(missing_ok=True)
