"""Writes demonstrations as a LeRobotDataset v3.0."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codi_core.data import layout
from codi_core.data.layout import FeatureSpec
from codi_core.data.statistics import RunningStatistics, episode_statistics
from codi_core.errors import DatasetError

_EPISODES_AT_ONCE = 256


class DatasetWriter:
    """Records episodes one after another, with one row group each, in bounded memory.

    Everything goes to a temporary folder beside ``root``; :meth:`close` puts it in place at
    once. As a context manager it closes at the end, and throws its work away on an error.

    Args:
        root: the dataset's folder.
        features: what is recorded, by name: "action", "observation.state", "state.cube", ….
        fps: frames a second [Hz].
        robot_type: the robot's name, for the reader.
        overwrite: replace a dataset that is already there.

    Raises:
        DatasetError: a feature cannot be stored, or ``root`` is not empty.
    """

    def __init__(
        self,
        root: Path | str,
        features: Mapping[str, FeatureSpec],
        fps: int,
        robot_type: str,
        *,
        overwrite: bool = False,
    ) -> None:
        for name, spec in features.items():
            layout.check_feature(name, spec)
        if int(fps) != fps or fps < 1:
            raise DatasetError(f"the layout stores whole frames a second, not fps={fps}")
        self.root = Path(root)
        self.features = dict(features)
        self.fps = int(fps)
        self.robot_type = robot_type
        _refuse_occupied(self.root, overwrite)
        self._folder = self.root.parent / f".{self.root.name}.partial-{os.getpid()}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._schema = layout.data_schema(self.features)
        self._statistics = {name: RunningStatistics() for name in self._schema.names}
        self._tasks: dict[str, int] = {}
        self._episodes = 0
        self._rows: list[dict[str, Any]] = []
        self._episodes_file: pq.ParquetWriter | None = None
        self._frames = 0
        self._file: pq.ParquetWriter | None = None
        self._file_number = -1
        self._sink: pa.NativeFile | None = None

    def add_episode(self, frames: Mapping[str, NDArray[Any]], task: str) -> None:
        """Append one episode.

        Args:
            frames: one array (T, n) a feature, T >= 1 the same for all; (T,) is fine for n = 1.
            task: what is done, in words.

        Raises:
            DatasetError: features are missing or unknown, shapes differ, or a value is not
                finite.
        """
        values, length = self._checked(frames)
        number = self._episodes
        values |= {
            "timestamp": (np.arange(length) / self.fps).astype(np.float32)[:, None],
            "frame_index": np.arange(length)[:, None],
            "episode_index": np.full((length, 1), number),
            "index": np.arange(self._frames, self._frames + length)[:, None],
            "task_index": np.full((length, 1), self._tasks.setdefault(task, len(self._tasks))),
        }
        columns = [_column(values[field.name], field.type) for field in self._schema]
        table = pa.Table.from_arrays(columns, schema=self._schema)
        writer = self._roomy_file()
        writer.write_table(table)
        self._note_episode(values, task, length)

    def close(self) -> None:
        """Write the metadata and put the dataset in its place.

        Raises:
            DatasetError: nothing was recorded.
        """
        if not self._episodes:
            self.discard()
            raise DatasetError(f"{self.root}: no episode was recorded, so nothing was written")
        self._close_file()
        if self._rows:
            self._write_episodes()
        self._close_episodes()
        self._write_metadata()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        aside = self._folder.with_name(self._folder.name + "-old")
        if self.root.exists():
            self.root.rename(aside)
        self._folder.rename(self.root)
        shutil.rmtree(aside, ignore_errors=True)

    def discard(self) -> None:
        """Throw away what was recorded; what stands at ``root`` stays as it is."""
        self._close_file()
        self._close_episodes()
        shutil.rmtree(self._folder, ignore_errors=True)

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
        if set(frames) != set(self.features):
            raise DatasetError(
                f"episode {self._episodes}: missing features "
                f"{sorted(set(self.features) - set(frames))}, "
                f"unknown features {sorted(set(frames) - set(self.features))}"
            )
        values = {}
        for name, spec in self.features.items():
            array = np.asarray(frames[name])
            array = array[:, None] if array.ndim == 1 and spec.shape == (1,) else array
            if array.ndim != 2 or array.shape[1:] != spec.shape or len(array) == 0:
                raise DatasetError(
                    f"episode {self._episodes}: feature '{name}' has shape {array.shape}; "
                    f"(frames, {spec.shape[0]}) with at least one frame is needed"
                )
            values[name] = array.astype(spec.dtype)
            if not np.isfinite(values[name]).all():
                raise DatasetError(
                    f"episode {self._episodes}: feature '{name}' holds NaN or infinity"
                )
        lengths = {len(array) for array in values.values()}
        if len(lengths) != 1:
            raise DatasetError(
                f"episode {self._episodes}: the features have different numbers of frames: "
                f"{ {name: len(array) for name, array in values.items()} }"
            )
        return values, lengths.pop()

    def _note_episode(self, values: dict[str, NDArray[Any]], task: str, length: int) -> None:
        chunk, file = divmod(self._file_number, layout.FILES_PER_CHUNK)
        row: dict[str, Any] = {
            "episode_index": self._episodes,
            "tasks": [task],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + length,
        }
        for name, array in values.items():
            self._statistics[name].update(array)
            for kind, value in episode_statistics(array).items():
                row[f"stats/{name}/{kind}"] = value.tolist()
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._rows.append(row)
        self._episodes += 1
        self._frames += length
        if len(self._rows) >= _EPISODES_AT_ONCE:
            self._write_episodes()

    def _write_episodes(self) -> None:
        table = pa.Table.from_pylist(self._rows)
        if self._episodes_file is None:
            path = self._folder / layout.EPISODES_TEMPLATE.format(chunk_index=0, file_index=0)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._episodes_file = pq.ParquetWriter(path, table.schema, compression="snappy")
        self._episodes_file.write_table(table)
        self._rows.clear()

    def _roomy_file(self) -> pq.ParquetWriter:
        if self._sink is not None and self._sink.tell() > layout.DATA_FILE_MEGABYTES * 2**20:
            self._close_file()
        if self._file is None:
            self._file_number += 1
            chunk, file = divmod(self._file_number, layout.FILES_PER_CHUNK)
            path = self._folder / layout.DATA_TEMPLATE.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._file = pq.ParquetWriter(self._sink, self._schema, compression="snappy")
        return self._file

    def _close_episodes(self) -> None:
        if self._episodes_file is not None:
            self._episodes_file.close()
        self._episodes_file = None

    def _close_file(self) -> None:
        if self._file is not None and self._sink is not None:
            self._file.close()
            self._sink.close()
        self._file = self._sink = None

    def _write_metadata(self) -> None:
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": self.robot_type,
            "total_episodes": self._episodes,
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": layout.FILES_PER_CHUNK,
            "data_files_size_in_mb": layout.DATA_FILE_MEGABYTES,
            "video_files_size_in_mb": 200,
            "fps": self.fps,
            "splits": {"train": f"0:{self._episodes}"},
            "data_path": layout.DATA_TEMPLATE,
            "video_path": None,
            "features": {
                name: spec.to_json()
                for name, spec in {**self.features, **layout.BOOKKEEPING}.items()
            },
        }
        statistics = {name: running.summary() for name, running in self._statistics.items()}
        _write_json(self._folder / layout.INFO_PATH, info)
        _write_json(self._folder / layout.STATS_PATH, statistics)
        tasks = pd.DataFrame(
            {"task_index": list(self._tasks.values())}, index=pd.Index(self._tasks, name="task")
        )
        tasks.to_parquet(self._folder / layout.TASKS_PATH)


def _column(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values[:, 0], type=kind)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _refuse_occupied(root: Path, overwrite: bool) -> None:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not overwrite:
        raise DatasetError(
            f"{root} is not empty: choose another folder, or ask for the dataset to be overwritten"
        )
    if not (root / layout.INFO_PATH).is_file():
        raise DatasetError(
            f"{root} has files but no {layout.INFO_PATH}, so it is not a dataset and is not "
            "overwritten: choose another folder"
        )
