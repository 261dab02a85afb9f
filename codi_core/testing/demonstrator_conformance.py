"""Checks that demonstrations can be repeated one by one: one call in a plugin author's tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from codi_core.tasks import Demonstrator, EpisodeKey
from codi_core.testing.requirement import require

if TYPE_CHECKING:
    from codi_core.data import DatasetWriter

Frames = Mapping[str, Any]


def check_demonstrator(make: Callable[[], Demonstrator], seed: int = 0) -> None:
    """Check what is written, and that a demonstration depends on its key alone, to the bit.

    Demonstrations 0 and 1 are made in a batch of two and in a batch of three.

    Args:
        make: makes a demonstrator.
        seed: of the demonstrations.
    """
    name, batches = type(make()).__name__, []
    for count in (2, 3):
        demonstrator = make()
        found = _collect(demonstrator, [EpisodeKey(seed, number) for number in range(count)])
        for frames in found:
            _check_frames(name, demonstrator, frames)
        batches.append(found)
    for number, (one, other) in enumerate(zip(*batches, strict=False)):
        same = one.keys() == other.keys() and all(
            np.array_equal(one[key], other[key], equal_nan=True) for key in one
        )
        require(
            same,
            f"{name}: demonstration {number} of a batch of two differs from that of a batch of "
            "three: all that is random must derive from its own key, and rounding must not depend "
            "on the batch",
        )


def _collect(demonstrator: Demonstrator, keys: list[EpisodeKey]) -> list[Frames]:
    """The frames of each demonstration; empty where none was written."""
    name, writer = type(demonstrator).__name__, _Memory()
    records = demonstrator.collect(keys, cast("DatasetWriter", writer))
    require(
        len(records) == len(keys),
        f"{name}: {len(records)} records of {len(keys)} demonstrations",
    )
    written, found = iter(writer.episodes), []
    for record in records:
        require(
            {"success", "frames"} <= record.keys(),
            f"{name}: a record has {sorted(record)}; it needs 'success' and 'frames'",
        )
        frames: Frames = next(written, {}) if record["frames"] else {}
        lengths = {len(value) for value in frames.values()} or {0}
        require(
            lengths == {record["frames"]},
            f"{name}: {sorted(lengths)} frames were written where the record says "
            f"{record['frames']}",
        )
        found.append(frames)
    return found


def _check_frames(name: str, demonstrator: Demonstrator, frames: Frames) -> None:
    features = demonstrator.features
    require(
        not frames or frames.keys() == features.keys(),
        f"{name} writes {sorted(frames)}, its features are {sorted(features)}",
    )
    for key, values in frames.items():
        shape, wanted = np.shape(values)[1:], tuple(features[key].shape)
        require(
            shape == wanted or (shape, wanted) == ((), (1,)),
            f"{name} writes '{key}' of the shape {shape}, its feature has {wanted}",
        )
        require(np.isfinite(values).all(), f"{name} writes '{key}' that is not finite")


class _Memory:
    """Keeps what a demonstrator writes."""

    def __init__(self) -> None:
        self.episodes: list[Frames] = []

    def add_episode(self, frames: Frames, task: str) -> None:
        self.episodes.append({name: np.array(values) for name, values in frames.items()})
