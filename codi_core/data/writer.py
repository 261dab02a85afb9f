"""Writes demonstrations as a LeRobotDataset v3.0."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codi_core.data import layout
from codi_core.data.contents import (
    NOTE_KEY,
    Commit,
    Contents,
    data_path,
    episodes_path,
    row_groups,
)
from codi_core.data.layout import FeatureSpec
from codi_core.errors import DatasetError
from codi_core.files.folders import DATA_SET, claimed
from codi_core.files.interrupts import uninterrupted

_PENDING = ".pending"


class DatasetWriter:
    """Records episodes one after another, with one row group each, in bounded memory.

    Episodes are kept at each :meth:`commit`: however the process ends after it, they are in the
    data set, and a writer with ``resume`` goes on behind them. :meth:`close` commits too. As a
    context manager the writer closes at the end; on an error it drops what was not committed.

    Args:
        root: the data set's folder, which nobody else can write until the writer is closed.
        features: what is recorded, by name: "action", "observation.state", "state.cube", ….
        fps: frames a second [Hz].
        robot_type: the robot's name, for the reader.
        overwrite: replace a data set that is already there, when the first episodes are kept.
        resume: go on with a data set that is already there, if there is one.
        accept: tells from its note whether a commit that is there still counts; those from the
            first one on that doesn't are dropped.
        repeatable: what is recorded can be made again: from the first damaged file on, all is
            dropped. If it can't, a damaged file is an error.
        folder_claimed: the caller keeps the folder, see :func:`codi_core.files.folders.claimed`.

    Raises:
        DatasetError: a feature cannot be stored, or the data set that is there has other ones.
        UsageError: ``root`` can't be written, or holds something else.
    """

    def __init__(
        self,
        root: Path | str,
        features: Mapping[str, FeatureSpec],
        fps: float,
        robot_type: str,
        *,
        overwrite: bool = False,
        resume: bool = False,
        accept: Callable[[Any], bool] = lambda note: True,
        repeatable: bool = False,
        folder_claimed: bool = False,
    ) -> None:
        for name, spec in features.items():
            layout.check_feature(name, spec)
        self.root = Path(root)
        self.features = dict(features)
        self.fps = layout.check_rate(fps)
        self.robot_type = robot_type
        self._schema = layout.data_schema(self.features)
        self._kept = Contents.empty(self.features)
        self.notes: list[Any] = []
        self._replacing = not resume
        self._claim = ExitStack()
        if not folder_claimed:
            self._claim.enter_context(
                claimed(self.root, DATA_SET, resume=resume, overwrite=overwrite)
            )
        try:
            with self._writing():
                shutil.rmtree(self.root / _PENDING, ignore_errors=True)
                if resume:
                    self._resume(accept, repeatable)
        except BaseException:
            self._claim.close()
            raise
        self._now = self._kept.copy()
        self._rows: list[dict[str, Any]] = []
        self._staged: list[int] = []
        self._file: pq.ParquetWriter | None = None
        self._sink: pa.NativeFile | None = None

    @property
    def episodes(self) -> int:
        """How many episodes there are, those that are not committed yet included."""
        return self._now.episodes

    def add_episode(self, frames: Mapping[str, NDArray[Any]], task: str) -> None:
        """Append one episode.

        Args:
            frames: one array (T, n) a feature, T >= 1 the same for all; (T,) is fine for n = 1.
            task: what is done, in words.

        Raises:
            DatasetError: features are missing or unknown, shapes differ, or a value is not
                finite or can't be stored as the feature's type.
        """
        values, length = self._checked(frames)
        now = self._now
        values |= {
            "timestamp": (np.arange(length) / self.fps).astype(np.float32)[:, None],
            "frame_index": np.arange(length)[:, None],
            "episode_index": np.full((length, 1), now.episodes),
            "index": np.arange(now.frames, now.frames + length)[:, None],
            "task_index": np.full((length, 1), now.tasks.get(task, len(now.tasks))),
        }
        columns = [_column(values[field.name], field.type) for field in self._schema]
        with self._writing():
            table = pa.Table.from_arrays(columns, schema=self._schema)
            self._roomy_file().write_table(table)
        self._rows.append(now.add(values, task, self._staged[-1]))

    def commit(self, note: Any = None) -> None:
        """Keep the episodes that have been added, whatever happens from now on.

        Args:
            note: anything JSON-able about them, which ``accept`` is asked about later.
        """
        if not self._rows:
            return
        with uninterrupted(), self._writing():
            self._close_file()
            fresh = self._write_episodes(note)
            if self._replacing:
                self._remove_all()
            self._put(fresh, episodes_path(self.root, self._now.commits))
            for number in self._staged:
                self._put(self._staging(number), data_path(self.root, number))
            self._now.data_files += len(self._staged)
            self._now.commits += 1
            self._now.write(self.root, self.features, self.fps, self.robot_type)
            self._replacing = False
            self._kept = self._now.copy()
            self.notes.append(note)
            self._forget()

    def rollback(self) -> None:
        """Drop the episodes that have been added since the last commit."""
        self._close_file()
        self._now = self._kept.copy()
        self._forget()

    def close(self) -> None:
        """Keep all episodes, and leave the folder to others.

        Raises:
            DatasetError: nothing was recorded.
        """
        self.commit()
        self.discard()
        if not self._kept.episodes:
            raise DatasetError(f"{self.root}: no episode was recorded, so nothing was written")

    def discard(self) -> None:
        """Drop what was not committed, and leave the folder to others."""
        self.rollback()
        shutil.rmtree(self.root / _PENDING, ignore_errors=True)
        self._claim.close()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _checked(self, frames: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], int]:
        episode = f"episode {self._now.episodes}"
        if set(frames) != set(self.features):
            raise DatasetError(
                f"{episode}: missing features {sorted(set(self.features) - set(frames))}, "
                f"unknown features {sorted(set(frames) - set(self.features))}"
            )
        values = {}
        for name, spec in self.features.items():
            array = np.asarray(frames[name])
            array = array[:, None] if array.ndim == 1 and spec.shape == (1,) else array
            if array.ndim != 2 or array.shape[1:] != spec.shape or len(array) == 0:
                raise DatasetError(
                    f"{episode}: feature '{name}' has shape {array.shape}; "
                    f"(frames, {spec.shape[0]}) with at least one frame is needed"
                )
            values[name] = _cast(array, spec.dtype, f"{episode}: feature '{name}'")
        lengths = {len(array) for array in values.values()}
        if len(lengths) != 1:
            raise DatasetError(
                f"{episode}: the features have different numbers of frames: "
                f"{ {name: len(array) for name, array in values.items()} }"
            )
        return values, lengths.pop()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DatasetError(f"cannot write '{self.root}': {error.strerror or error}") from error

    def _roomy_file(self) -> pq.ParquetWriter:
        if self._sink is not None and self._sink.tell() > layout.DATA_FILE_MEGABYTES * 2**20:
            self._close_file()
        if self._file is None:
            number = self._now.data_files + len(self._staged)
            path = self._staging(number)
            path.parent.mkdir(exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._file = pq.ParquetWriter(self._sink, self._schema, compression="snappy")
            self._staged.append(number)
        return self._file

    def _staging(self, number: int) -> Path:
        return self.root / _PENDING / f"data-{number:06d}.parquet"

    def _close_file(self) -> None:
        file, sink = self._file, self._sink
        self._file = self._sink = None
        if file is not None and sink is not None:
            file.close()
            sink.close()

    def _write_episodes(self, note: Any) -> Path:
        table = pa.Table.from_pylist(self._rows)
        table = table.replace_schema_metadata({NOTE_KEY: json.dumps(note).encode()})
        path = self.root / _PENDING / "episodes.parquet"
        pq.write_table(table, path, compression="snappy")
        return path

    def _put(self, source: Path, target: Path) -> None:
        """Move a file to its place, once all of it is on the disk."""
        with source.open("rb") as stream:
            os.fsync(stream.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)

    def _forget(self) -> None:
        for number in self._staged:
            self._staging(number).unlink(missing_ok=True)
        self._rows, self._staged = [], []

    def _remove_all(self) -> None:
        # The description goes first: without it, half of a data set is not taken for one.
        (self.root / layout.INFO_PATH).unlink(missing_ok=True)
        for name in ("data", "meta"):
            shutil.rmtree(self.root / name, ignore_errors=True)

    def _resume(self, accept: Callable[[Any], bool], repeatable: bool) -> None:
        """Take up the data set that is there, without commits that don't count."""
        commits = len(list((self.root / "meta" / "episodes").glob("*/*.parquet")))
        total = self._check_same() if commits else 0
        for number in range(commits):
            if total is not None and self._kept.episodes >= total:
                break  # what follows was cut short
            # Without a sound description nobody knows whether the last commit was finished.
            may_go = repeatable or (total is None and number == commits - 1)
            commit = self._read_commit(number, may_go)
            added = commit and accept(commit.note) and self._added(commit, may_go)
            if not (commit and added):
                break
            self._kept = added
            self.notes.append(commit.note)
        if not self._kept.episodes:
            self._replacing = True
            return
        # Whatever a crash has done to them, the metadata are those of what is kept.
        self._kept.write(self.root, self.features, self.fps, self.robot_type)
        _remove_from(self.root, self._kept)

    def _read_commit(self, number: int, may_go: bool) -> Commit | None:
        """A commit; None if it is damaged."""
        path = episodes_path(self.root, number)
        try:
            return Commit.read(path)
        except Exception as error:
            self._damaged(path, error, may_go)
            return None

    def _added(self, commit: Commit, may_go: bool) -> Contents | None:
        """What is there with a commit added; None if one of its files is damaged."""
        contents, tasks, path = self._kept.copy(), iter(commit.tasks), self.root
        try:
            for number in commit.files:
                path = data_path(self.root, number)
                for values in row_groups(path):
                    contents.add(values, next(tasks), number)
            if next(tasks, None) is not None:
                raise ValueError("episodes are missing")
        except Exception as error:
            self._damaged(path, error, may_go)
            return None
        contents.data_files += len(commit.files)
        contents.commits += 1
        return contents

    def _damaged(self, path: Path, error: Exception, may_go: bool) -> None:
        # Arrow's own errors may be OSErrors too, but without a number.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise error
        if not may_go:
            raise DatasetError(
                f"cannot go on with '{self.root}': {path} is damaged ({type(error).__name__}: "
                f"{error}); restore it, or record into another folder"
            ) from error

    def _check_same(self) -> int | None:
        """Compare the description that is there with what is recorded.

        Returns:
            How many episodes have been kept; None if the description is damaged or not there,
            which is no loss: it is written anew.
        """
        path = self.root / layout.INFO_PATH
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            there = {key: info[key] for key in ("features", "fps", "robot_type")}
            total = int(info["total_episodes"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        features = {**self.features, **layout.BOOKKEEPING}
        here = {
            "features": {name: spec.to_json() for name, spec in features.items()},
            "fps": self.fps,
            "robot_type": self.robot_type,
        }
        for key, value in here.items():
            if there[key] != value:
                raise DatasetError(
                    f"cannot go on with '{self.root}': its {key} are {there[key]}, and {value} "
                    "would be added; record into another folder"
                )
        return total


def _remove_from(root: Path, kept: Contents) -> None:
    """Remove the files of commits that don't count, or were cut short."""
    for path, pattern in ((data_path, "data/*/*"), (episodes_path, "meta/episodes/*/*")):
        numbers = kept.data_files if path is data_path else kept.commits
        wanted = {path(root, number) for number in range(numbers)}
        for found in root.glob(pattern):
            if found not in wanted:
                found.unlink()


def _cast(array: NDArray[Any], dtype: str, name: str) -> NDArray[Any]:
    """The values as a feature's type; only floating-point numbers are rounded.

    Raises:
        DatasetError: a value is not finite, or the type doesn't have it.
    """
    target = np.dtype(dtype)
    if array.dtype.kind not in "fiub":
        raise DatasetError(f"{name} holds {array.dtype} values; {dtype} is stored")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(target)
        back = cast.astype(array.dtype)
    if not (np.isfinite(array).all() and np.isfinite(cast).all()):
        raise DatasetError(f"{name} holds NaN or infinity")
    rounds = array.dtype.kind == target.kind == "f"
    wrong = (back != array) | ((cast < 0) != (array < 0))
    if not rounds and wrong.any():
        raise DatasetError(f"{name} holds {array[wrong][0]}, which {dtype} does not have")
    return cast


def _column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values[:, 0], type=kind)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)
