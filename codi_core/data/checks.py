"""Whether the rows of a data set are what its metadata say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codi_core.data import layout
from codi_core.errors import DatasetError

TOLERANCE = 1e-4
"""[s] How far the time between two frames may be from 1/fps, as LeRobot has it."""


def check_rows(root: Path, columns: Mapping[str, NDArray[Any]], fps: float) -> NDArray[np.int64]:
    """Check the order of all frames, and their times.

    Args:
        root: the data set, for messages.
        columns: the columns that every data set has, (frames,) each.
        fps: frames a second, as the description says.

    Returns:
        (episodes + 1,), where episodes start and end.

    Raises:
        DatasetError: the first contradiction.
    """
    episode, frame = columns["episode_index"], columns["frame_index"]
    changes = np.flatnonzero(np.diff(episode)) + 1
    starts = np.concatenate([[0], changes, [len(episode)]]).astype(np.int64)
    if len(episode) == 0 or len(np.unique(episode)) != len(starts) - 1:
        raise _contradiction(root, "the frames of an episode do not follow one another")
    counted = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    rows = np.arange(len(episode))
    within = rows - np.repeat(starts[:-1], np.diff(starts))
    _check_equal(root, "episode_index", episode, counted, episode)
    _check_equal(root, "frame_index", frame, within, episode)
    _check_equal(root, "index", columns["index"], rows, episode)
    _check_times(root, columns["timestamp"], within, fps, episode)
    return starts


def check_counts(root: Path, info: Mapping[str, Any], starts: NDArray[np.int64]) -> None:
    """Check the numbers of frames and episodes.

    Args:
        root: the data set.
        info: its description.
        starts: (episodes + 1,), where episodes start and end.

    Raises:
        DatasetError: the first contradiction.
    """
    found = {"total_frames": int(starts[-1]), "total_episodes": len(starts) - 1}
    for field, number in found.items():
        if info.get(field, number) != number:
            raise DatasetError(
                f"{root / layout.INFO_PATH} promises {info[field]} {field.removeprefix('total_')}, "
                f"the data files hold {number}: the dataset is incomplete; if its recording was "
                "interrupted, go on with --resume, or else record or copy it again"
            )
    for number, length in enumerate(_lengths(root)[: len(starts) - 1]):
        there = int(starts[number + 1] - starts[number])
        if length != there:
            raise _contradiction(
                root, f"episode {number} has {there} frames, {length} by its metadata"
            )


def _lengths(root: Path) -> list[int]:
    """The numbers of frames by the episodes' metadata; none if there are no such files."""
    lengths: dict[int, int] = {}
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        try:
            table = pq.read_table(path, columns=["episode_index", "length"])
            lengths.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DatasetError(
                f"{path} cannot be read ({type(error).__name__}: {error}): "
                "record or copy the dataset again"
            ) from error
    return [lengths[number] for number in sorted(lengths)]


def _check_equal(
    root: Path,
    name: str,
    found: NDArray[Any],
    expected: NDArray[Any],
    episode: NDArray[Any],
) -> None:
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        row = wrong[0]
        raise _contradiction(
            root, f"{name} is {found[row]} in episode {episode[row]}, where {expected[row]} follows"
        )


def _check_times(
    root: Path,
    time: NDArray[Any],
    within: NDArray[np.int64],
    fps: float,
    episode: NDArray[Any],
) -> None:
    """Times must go on by 1/fps, and never be nearer to the time of another frame."""
    time = time.astype(np.float64)
    since = time - np.repeat(time[within == 0], np.diff(np.flatnonzero(np.r_[within, 0] == 0)))
    # Times are stored with 24 bits, so their differences are as inexact as they are long.
    tolerance = TOLERANCE + np.abs(time) * 2.0**-22
    steps = np.diff(time, prepend=time[0])
    off = (within > 0) & (np.abs(steps - 1 / fps) > tolerance)
    off |= np.abs(since - within / fps) > 0.5 / fps
    if off.any():
        row = np.flatnonzero(off)[0]
        raise _contradiction(
            root,
            f"frame {within[row]} of episode {episode[row]} is at {since[row]:.4f} s, and "
            f"{within[row] / fps:.4f} s follow from {fps} frames a second",
        )


def _contradiction(root: Path, what: str) -> DatasetError:
    return DatasetError(f"{root / 'data'}: {what}: record or copy the dataset again")
