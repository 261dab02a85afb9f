"""Reads demonstrations in the LeRobotDataset v3.0 layout, ours and other people's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codi_core.data import layout
from codi_core.data.checks import check_counts, check_rows
from codi_core.data.layout import FeatureSpec
from codi_core.errors import DatasetError

_NUMERIC = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@attrs.frozen(eq=False)
class DemonstrationDataset:
    """All frames of a dataset, episode after episode.

    Attributes:
        root: where it was read from.
        features: what was read, by name.
        arrays: one array (frames, *shape) a feature; float32 where the file has floats.
        episode_starts: (episodes + 1,) int64; episode e is the frames starts[e] to starts[e+1].
        episode_tasks: what each episode's first frame says is done, in words.
        fps: frames a second [Hz]; an ``int`` if they are a whole number.
        robot_type: the robot's name, if the dataset says it.
    """

    root: Path
    features: Mapping[str, FeatureSpec]
    arrays: Mapping[str, NDArray[Any]]
    episode_starts: NDArray[np.int64]
    episode_tasks: tuple[str, ...]
    fps: float
    robot_type: str | None = None

    @classmethod
    def load(cls, root: Path | str, names: Sequence[str] | None = None) -> DemonstrationDataset:
        """Read a dataset, and check that its rows are what its metadata say.

        Args:
            root: its folder.
            names: the features wanted; None reads all that are numbers.

        Raises:
            DatasetError: a file is missing or damaged, a feature is not there, or rows and
                metadata contradict one another; the message names the first contradiction.
        """
        root = Path(root)
        info = _read_info(root)
        features = _choose(root, info, names)
        table = _read_data(root, [*features, *layout.BOOKKEEPING])
        arrays = {name: _array(table, name, spec, root) for name, spec in features.items()}
        books = {name: _array(table, name, spec, root) for name, spec in layout.BOOKKEEPING.items()}
        fps = _rate(root, info)
        starts = check_rows(root, {name: column[:, 0] for name, column in books.items()}, fps)
        check_counts(root, info, starts)
        tasks = _words(root, books["task_index"][starts[:-1], 0])
        return cls(root, features, arrays, starts, tasks, fps, info.get("robot_type"))

    @staticmethod
    def features_of(root: Path | str) -> dict[str, FeatureSpec]:
        """The features that :meth:`load` can read, without reading them.

        Raises:
            DatasetError: the description is missing or damaged.
        """
        return _choose(Path(root), _read_info(Path(root)), None)

    @property
    def frames(self) -> int:
        """The number of frames in all episodes."""
        return int(self.episode_starts[-1])

    @property
    def episodes(self) -> int:
        """The number of episodes."""
        return len(self.episode_starts) - 1

    def fingerprint(self, names: Sequence[str] | None = None) -> str:
        """sha256 of the content of these features (all that were read if None).

        It covers names, types, values, episode boundaries and rate, and does not depend on how
        the files were written.
        """
        digest = hashlib.sha256()
        for name in sorted(self.features if names is None else names):
            array = np.ascontiguousarray(self.arrays[name])
            digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
            digest.update(array.data)
        digest.update(f"fps|{self.fps}|".encode())
        digest.update(np.ascontiguousarray(self.episode_starts, dtype="<i8").data)
        return digest.hexdigest()


def _read_info(root: Path) -> dict[str, Any]:
    path = root / layout.INFO_PATH
    if not path.is_file():
        raise DatasetError(
            f"{path} is missing, so {root} is not a demonstration dataset: give the folder that "
            "holds 'meta' and 'data'"
        )
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, _ = info["codebase_version"], (info["features"].items(), info["fps"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} is damaged ({type(error).__name__}: {error}): record or copy the dataset again"
        ) from error
    if not str(version).startswith("v3."):
        raise DatasetError(
            f"{path} says layout {version}; {layout.VERSION} is needed. The lerobot package "
            "converts layout v2.1: python -m lerobot.datasets.v30.convert_dataset_v21_to_v30 "
            "--repo-id=NAME"
        )
    return info


def _choose(
    root: Path, info: dict[str, Any], names: Sequence[str] | None
) -> dict[str, FeatureSpec]:
    readable = {
        name: FeatureSpec(entry.get("shape") or (1,), _names(entry), entry["dtype"])
        for name, entry in info["features"].items()
        if entry.get("dtype") in _NUMERIC and name not in layout.BOOKKEEPING
    }
    if names is None:
        return readable
    missing = [name for name in names if name not in readable]
    if missing:
        raise DatasetError(
            f"{root} has no numeric feature {', '.join(map(repr, missing))}: "
            f"choose from {', '.join(map(repr, readable))}"
        )
    return {name: readable[name] for name in names}


def _names(entry: dict[str, Any]) -> tuple[str, ...] | None:
    # Other people's datasets have a list, or a dict that holds one list, or nothing.
    names = entry.get("names")
    if isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    if not isinstance(names, list) or len(names) != int(np.prod(entry.get("shape") or (1,))):
        return None
    return tuple(map(str, names))


def _read_data(root: Path, columns: list[str]) -> pa.Table:
    paths = sorted((root / "data").glob("*/*.parquet"))
    if not paths:
        raise DatasetError(
            f"{root / 'data'} holds no parquet file: record or copy the dataset again"
        )
    tables = []
    for path in paths:
        try:
            tables.append(pq.read_table(path, columns=columns).replace_schema_metadata())
            tables[-1].select(columns)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DatasetError(
                f"{path} cannot be read ({type(error).__name__}: {error}): "
                "record or copy the dataset again"
            ) from error
    try:
        return pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise DatasetError(
            f"the files in {root / 'data'} have different columns ({error}): "
            "record or copy the dataset again"
        ) from error


def _array(table: pa.Table, name: str, spec: FeatureSpec, root: Path) -> NDArray[Any]:
    """A column's values (frames, *shape)."""
    column = table[name].combine_chunks()
    size = int(np.prod(spec.shape))
    try:
        while isinstance(column, pa.ExtensionArray):
            column = column.storage
        lengths = 1
        while _is_list(column.type):
            lengths *= int(_only(pc.list_value_length(column)))
            column = column.flatten()
        if column.null_count or lengths != size:
            raise ValueError
        array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        # A copy, because what arrow hands out is read-only and torch wants to share it.
        array = array.reshape(table.num_rows, *spec.shape).copy()
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{root}: feature '{name}' does not hold {spec.shape} values in each frame, as "
            f"{layout.INFO_PATH} says: record or copy the dataset again"
        ) from error
    if array.dtype.kind != np.dtype(spec.dtype).kind:
        raise DatasetError(
            f"{root}: feature '{name}' is {spec.dtype} in {layout.INFO_PATH}, but its values are "
            f"{array.dtype}: record or copy the dataset again"
        )
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise DatasetError(f"{root}: feature '{name}' holds NaN or infinity: clean it first")
    return array


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _only(lengths: pa.Array) -> int:
    """The one number that all are.

    Raises:
        ValueError: there are several.
    """
    (length,) = lengths.unique().to_pylist() or [0]
    return int(length)


def _rate(root: Path, info: dict[str, Any]) -> float:
    try:
        return layout.check_rate(info["fps"])
    except DatasetError as error:
        raise DatasetError(f"{root / layout.INFO_PATH}: {error}") from error


def _words(root: Path, chosen: NDArray[np.int64]) -> tuple[str, ...]:
    """What is done, in words, for these numbers of tasks."""
    path = root / layout.TASKS_PATH
    try:
        words = {int(n): str(word) for word, n in pd.read_parquet(path)["task_index"].items()}
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} cannot be read ({type(error).__name__}: {error}): "
            "record or copy the dataset again"
        ) from error
    unknown = sorted({int(number) for number in chosen} - set(words))
    if unknown:
        raise DatasetError(
            f"{path} has no task {unknown[0]}, which frames have: record or copy the dataset again"
        )
    return tuple(words[int(number)] for number in chosen)
