"""The names, paths and column types of the LeRobotDataset v3.0 layout."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa

from codi_core.errors import DatasetError

VERSION = "v3.0"
INFO_PATH = Path("meta/info.json")
STATS_PATH = Path("meta/stats.json")
TASKS_PATH = Path("meta/tasks.parquet")
DATA_TEMPLATE = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
EPISODES_TEMPLATE = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILES_PER_CHUNK = 1000
DATA_FILE_MEGABYTES = 100

_ARROW_TYPES = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}


def _as_shape(shape: Iterable[int]) -> tuple[int, ...]:
    return tuple(map(int, shape))


def _as_names(names: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(map(str, names))


@attrs.frozen
class FeatureSpec:
    """One recorded quantity.

    Attributes:
        shape: the shape of one frame's value, without time; one axis, as (n,).
        names: one name a value, with the unit where it has one; None if they have no names.
        dtype: "float32", "float64", "int64" or "bool".
    """

    shape: tuple[int, ...] = attrs.field(converter=_as_shape)
    names: tuple[str, ...] | None = attrs.field(default=None, converter=_as_names)
    dtype: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """The feature's entry in ``meta/info.json``."""
        names = list(self.names) if self.names is not None else None
        return {"dtype": self.dtype, "shape": list(self.shape), "names": names}

    def arrow_type(self) -> pa.DataType:
        """The type of the feature's column: a scalar for shape (1,), else a fixed-size list."""
        value = _ARROW_TYPES[self.dtype]
        return value if self.shape == (1,) else pa.list_(value, self.shape[0])


BOOKKEEPING = {
    "timestamp": FeatureSpec((1,)),
    "frame_index": FeatureSpec((1,), dtype="int64"),
    "episode_index": FeatureSpec((1,), dtype="int64"),
    "index": FeatureSpec((1,), dtype="int64"),
    "task_index": FeatureSpec((1,), dtype="int64"),
}
"""The columns that every dataset has beside its own features."""


def check_feature(name: str, spec: FeatureSpec) -> None:
    """Refuse what the layout, or this writer, cannot hold.

    Raises:
        DatasetError: a reserved name, an unknown dtype, more than one axis, or a wrong number
            of names.
    """
    if name in BOOKKEEPING or name == "task":
        raise DatasetError(f"feature '{name}': the layout writes this column itself; rename yours")
    if "/" in name:
        raise DatasetError(f"feature '{name}': the layout separates statistics with '/'; use '.'")
    if spec.dtype not in _ARROW_TYPES:
        raise DatasetError(
            f"feature '{name}': dtype '{spec.dtype}' is not one of {', '.join(_ARROW_TYPES)}"
        )
    if len(spec.shape) != 1 or spec.shape[0] < 1:
        raise DatasetError(
            f"feature '{name}' has shape {spec.shape}; flatten each frame's value to (n,)"
        )
    if spec.names is not None and len(spec.names) != spec.shape[0]:
        raise DatasetError(
            f"feature '{name}' has {spec.shape[0]} values and {len(spec.names)} names"
        )


def check_rate(fps: Any) -> float:
    """Frames a second as they are stored: an ``int`` if they are a whole number.

    Raises:
        DatasetError: not a positive number.
    """
    number = isinstance(fps, int | float) and not isinstance(fps, bool)
    if not number or not 0 < fps < math.inf:
        raise DatasetError(f"frames a second must be a positive number, not {fps!r}")
    return int(fps) if int(fps) == fps else float(fps)


def data_schema(features: dict[str, FeatureSpec]) -> pa.Schema:
    """The schema of the data files."""
    everything = {**features, **BOOKKEEPING}
    return pa.schema([(name, spec.arrow_type()) for name, spec in everything.items()])
