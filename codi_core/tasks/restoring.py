"""What tasks restore recorded frames with."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from codi_core.errors import DatasetError


def recorded_feature(frames: Mapping[str, Tensor], name: str, of: str) -> Tensor:
    """A feature of recorded frames, (n, size).

    Args:
        frames: of joint demonstrations or of a recording, by feature.
        name: the feature's.
        of: how messages call what the frames must be of, such as the task's name.

    Raises:
        DatasetError: the frames don't have it.
    """
    if name not in frames:
        raise DatasetError(
            f"the frames have no '{name}': take joint demonstrations (codi-collect --joint) or a "
            f"recording (codi-run --record) of {of}"
        )
    return frames[name]
