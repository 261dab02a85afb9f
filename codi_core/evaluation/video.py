"""Writes moving pictures."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError
from codi_core.files.durable import replacing, writing

Frame = NDArray[np.uint8]
"""An RGB picture, (height, width, 3)."""

QUALITY = 15
"""The constant rate factor of H.264: 0 loses nothing, 51 is the worst."""


class PictureError(CodiError):
    """A picture that can't be made; the run's numbers don't depend on it."""


def write_video(path: Path, frames: Iterable[Frame], fps: float) -> Path:
    """Write frames of one size as H.264 in an mp4 file; returns the path.

    Odd heights and widths lose their last row or column: the codec needs even ones. A video that
    can't be finished, because the disk is full for instance, leaves nothing.

    Raises:
        PictureError: there are no frames, ``imageio-ffmpeg`` is not installed, or the video can't
            be finished.
    """
    program = _ffmpeg()
    rows = _even(frames)
    first = next(rows, None)
    if first is None:
        raise PictureError(f"no frames for '{path}'")
    # Half a video must not look like a whole one.
    part = path.with_name(path.stem + ".part" + path.suffix)
    try:
        _encode(_command(program, first.shape, fps, part), chain([first], rows), path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _ffmpeg() -> str:
    """The encoder's path."""
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise PictureError(
            "videos need the package imageio-ffmpeg: pip install 'codi-core[video]'"
        ) from error


def _command(program: str, shape: tuple[int, ...], fps: float, path: Path) -> list[str]:
    height, width = shape[:2]
    raw = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i -"
    coded = f"-an -c:v libx264 -pix_fmt yuv420p -crf {QUALITY}"
    # At the first error it stops, and says no more than fits into a pipe that nobody reads yet.
    return [program, "-y", "-v", "error", "-xerror", *raw.split(), *coded.split(), str(path)]


def _encode(command: list[str], frames: Iterable[Frame], path: Path) -> None:
    """Have frames encoded.

    Raises:
        PictureError: the encoder failed.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,  # Ctrl-C is for us, who then end it
    )
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        for frame in frames:
            process.stdin.write(np.ascontiguousarray(frame, np.uint8).data)
    except BrokenPipeError:
        pass  # it has ended before its time: what it says and its exit code tell why
    except BaseException:
        process.kill()
        raise
    finally:
        with suppress(BrokenPipeError):
            process.stdin.close()
        said = process.stderr.read().decode(errors="replace").strip()
        process.stderr.close()
        process.wait()
    if process.returncode:
        # "[out#0/mp4 @ 0x55a1] Error closing file: No space left on device", in its last line.
        why = said.splitlines()[-1].rpartition("] ")[-1] if said else "it has died"
        raise PictureError(f"the encoder could not finish '{path}': {why}")


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
        UsageError: the picture can't be written.
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
    with writing(path.parent, "folder"), replacing(path) as stream:
        pictures[0].save(
            stream,
            format="GIF",
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
