"""Files that survive a crash: written as a whole, or line by line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

from codi_core.errors import UsageError


def to_json(value: Any) -> str:
    """Indented JSON with a final line break; numpy's numbers and paths are written plainly."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=plain) + "\n"


def plain(value: Any) -> Any:
    """JSON for numpy's scalars and arrays, and for paths."""
    import numpy as np  # heavy, and help texts need none

    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON-able: {value!r}")


@contextmanager
def writing(folder: Path, what: str = "folder", option: str = "--output") -> Iterator[None]:
    """Make a folder if it isn't there, for a body that writes into it.

    Args:
        folder: where the body writes.
        what: what messages call it.
        option: with which a user chooses the folder, for messages.

    Raises:
        UsageError: the folder can't be made, or the body can't write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write the {what} '{folder}': {error.strerror or error}; "
            f"choose another one with {option}"
        ) from error


def write_durably(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file; a crash leaves the old content or the new one, whole."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file for a body that writes it; it takes the place of ``path`` at the end.

    A crash or an error leaves what was there, whole.
    """
    fresh = path.with_name(path.name + ".part")
    try:
        with fresh.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def append_lines(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """Append one line of JSON an item, durably; a last line torn by a crash is dropped for good.

    One process at a time may append to a file; others may read it meanwhile. Where not all lines
    can be written, on a full disk for instance, none is.
    """
    text = "".join(json.dumps(item, default=plain, ensure_ascii=False) + "\n" for item in items)
    content = text.encode()
    _drop_torn_line(path)
    # All lines in one write, so that a kill leaves all of them or none.
    with path.open("ab", buffering=0) as stream:
        before = stream.seek(0, os.SEEK_END)
        try:
            _write_all(stream, content)
            os.fsync(stream.fileno())
        except BaseException:
            stream.truncate(before)
            raise


def _write_all(stream: RawIOBase, content: bytes) -> None:
    # A first write that took only a part of it says nothing; the next one says why.
    rest = memoryview(content)
    while rest:
        rest = rest[stream.write(rest) or 0 :]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The items of :func:`append_lines`, without a last line that is torn or being written.

    Raises:
        UsageError: a line is no JSON object.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [_item(path, number, line) for number, line in enumerate(lines, 1)]


def _item(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise UsageError(f"'{path}' is damaged in line {number}: {error}") from error
    if not isinstance(item, dict):
        raise UsageError(f"'{path}' is damaged in line {number}: it is no JSON object")
    return item


def _drop_torn_line(path: Path) -> None:
    """Appending to a torn line would damage the next one as well."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) != b"\n":
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
