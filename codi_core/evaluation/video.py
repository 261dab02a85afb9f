"""Writes moving pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError

Frame = NDArray[np.uint8]
"""An RGB picture, (height, width, 3)."""


class PictureError(CodiError):
    """A picture that can't be made; the run's numbers don't depend on it."""


def write_video(path: Path, frames: Iterable[Frame], fps: float) -> Path:
    """Write frames of one size as H.264 in an mp4 file; returns the path.

    Odd heights and widths lose their last row or column: the codec needs even ones.

    Raises:
        PictureError: there are no frames, or ``imageio-ffmpeg`` is not installed.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
    except ImportError as error:
        raise PictureError(
            "videos need the package imageio-ffmpeg: pip install 'codi-core[video]'"
        ) from error
    rows = _even(frames)
    first = next(rows, None)
    if first is None:
        raise PictureError(f"no frames for '{path}'")
    height, width = first.shape[:2]
    # Half a video must not look like a whole one.
    part = path.with_name(path.stem + ".part" + path.suffix)
    writer = imageio_ffmpeg.write_frames(
        str(part),
        (width, height),
        fps=fps,
        codec="libx264",
        quality=7,
        macro_block_size=2,
        ffmpeg_log_level="error",
    )
    writer.send(None)
    try:
        for frame in chain([first], rows):
            writer.send(np.ascontiguousarray(frame, np.uint8))
    finally:
        writer.close()
    part.replace(path)
    return path


def write_gif(
    path: Path, frames: Iterable[Frame], fps: float, every: int = 1, width: int | None = None
) -> Path:
    """Write frames as a looping GIF; returns the path.

    Args:
        path: where.
        frames: pictures of one size.
        fps: how many of ``frames`` make one second.
        every: keep only each n-th frame.
        width: shrink to this width [pixels].

    Raises:
        PictureError: there are no frames.
    """
    from PIL import Image

    pictures = []
    for frame in list(frames)[::every]:
        picture = Image.fromarray(frame)
        if width is not None and width < picture.width:
            picture = picture.resize((width, round(picture.height * width / picture.width)))
        pictures.append(picture.quantize(128))
    if not pictures:
        raise PictureError(f"no frames for '{path}'")
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        loop=0,
        duration=round(1000 * every / fps),
        optimize=True,
    )
    return path


def _even(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        height, width = frame.shape[:2]
        yield frame[: height - height % 2, : width - width % 2]
