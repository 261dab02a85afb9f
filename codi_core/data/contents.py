"""What a data set holds so far: the numbers that its metadata are written from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codi_core.data import layout
from codi_core.data.layout import FeatureSpec
from codi_core.data.statistics import (
    MOST_ROWS,
    MOST_VALUES,
    RunningStatistics,
    episode_statistics,
)
from codi_core.files.durable import write_durably

NOTE_KEY = b"codi.note"
"""Where a file of episodes' metadata keeps what the recorder says about them, as JSON."""


@attrs.define
class Contents:
    """Counts, statistics and tasks of the episodes of a data set, and its numbers of files.

    Attributes:
        statistics: of each column.
        tasks: their numbers, by their words.
        episodes: how many there are.
        frames: how many there are in all episodes.
        data_files: how many files hold the frames.
        commits: how many files hold the episodes' metadata.
    """

    statistics: dict[str, RunningStatistics]
    tasks: dict[str, int] = attrs.field(factory=dict)
    episodes: int = 0
    frames: int = 0
    data_files: int = 0
    commits: int = 0

    @classmethod
    def empty(cls, features: Mapping[str, FeatureSpec]) -> Contents:
        """Of a data set with these features and no episode."""
        columns = {**features, **layout.BOOKKEEPING}
        # Recordings of large teams have thousands of values a frame.
        share = MOST_VALUES // sum(spec.shape[0] for spec in columns.values())
        rows = min(MOST_ROWS, max(1024, share))
        return cls({name: RunningStatistics(rows) for name in columns})

    def copy(self) -> Contents:
        """The same numbers, apart from these."""
        statistics = {name: running.copy() for name, running in self.statistics.items()}
        return attrs.evolve(self, statistics=statistics, tasks=dict(self.tasks))

    def add(self, values: Mapping[str, NDArray[Any]], task: str, file: int) -> dict[str, Any]:
        """Count one episode, whose frames are in data file number ``file``.

        Args:
            values: all of its columns, (T, n) each.
            task: what is done, in words.
            file: the number of the data file.

        Returns:
            Its row of ``meta/episodes``.
        """
        length = len(values["index"])
        chunk, file_index = divmod(file, layout.FILES_PER_CHUNK)
        row: dict[str, Any] = {
            "episode_index": self.episodes,
            "tasks": [task],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file_index,
            "dataset_from_index": self.frames,
            "dataset_to_index": self.frames + length,
        }
        for name, array in values.items():
            self.statistics[name].update(array)
            for kind, value in episode_statistics(array).items():
                row[f"stats/{name}/{kind}"] = value.tolist()
        chunk, file_index = divmod(self.commits, layout.FILES_PER_CHUNK)
        row |= {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file_index}
        self.tasks.setdefault(task, len(self.tasks))
        self.episodes += 1
        self.frames += length
        return row

    def write(
        self, root: Path, features: Mapping[str, FeatureSpec], fps: float, robot_type: str
    ) -> None:
        """Write the metadata of all episodes, ``info.json`` at last: with it they are there."""
        info = {
            "codebase_version": layout.VERSION,
            "robot_type": robot_type,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "chunks_size": layout.FILES_PER_CHUNK,
            "data_files_size_in_mb": layout.DATA_FILE_MEGABYTES,
            "video_files_size_in_mb": 200,
            "fps": fps,
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": layout.DATA_TEMPLATE,
            "video_path": None,
            "features": {
                name: spec.to_json() for name, spec in {**features, **layout.BOOKKEEPING}.items()
            },
        }
        statistics = {name: running.summary() for name, running in self.statistics.items()}
        tasks = pd.DataFrame(
            {"task_index": list(self.tasks.values())}, index=pd.Index(self.tasks, name="task")
        )
        fresh = root / layout.TASKS_PATH.with_suffix(".part")
        tasks.to_parquet(fresh)
        fresh.replace(root / layout.TASKS_PATH)
        write_durably(root / layout.STATS_PATH, json.dumps(statistics, indent=4) + "\n")
        write_durably(root / layout.INFO_PATH, json.dumps(info, indent=4) + "\n")


def data_path(root: Path, number: int) -> Path:
    """Where data file ``number`` lies."""
    chunk, file = divmod(number, layout.FILES_PER_CHUNK)
    return root / layout.DATA_TEMPLATE.format(chunk_index=chunk, file_index=file)


def episodes_path(root: Path, number: int) -> Path:
    """Where file ``number`` of the episodes' metadata lies."""
    chunk, file = divmod(number, layout.FILES_PER_CHUNK)
    return root / layout.EPISODES_TEMPLATE.format(chunk_index=chunk, file_index=file)


@attrs.frozen
class Commit:
    """Episodes that were kept together.

    Attributes:
        note: what the recorder says about them.
        tasks: what is done in each episode, in words.
        files: the numbers of the data files that hold them.
    """

    note: Any
    tasks: tuple[str, ...]
    files: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> Commit:
        """From a file of episodes' metadata."""
        table = pq.read_table(path, columns=["tasks", "data/chunk_index", "data/file_index"])
        note = (table.schema.metadata or {}).get(NOTE_KEY, b"null")
        places = zip(*(table[name].to_pylist() for name in table.column_names[1:]), strict=True)
        numbers = (chunk * layout.FILES_PER_CHUNK + file for chunk, file in places)
        tasks = tuple(words[0] for words in table["tasks"].to_pylist())
        return cls(json.loads(note), tasks, tuple(dict.fromkeys(numbers)))


def row_groups(path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns (T, n) of each episode in a data file that :class:`DatasetWriter` wrote."""
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            yield {name: _values(table[name]) for name in table.column_names}


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    length, array = len(column), column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return np.reshape(values, (length, -1))
