"""Pictures that a full disk cuts short: nothing of them is left or named, and the rest survives."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from plugin_path import install_example

from codi_core.cli.run import main
from codi_core.errors import UsageError
from codi_core.evaluation import video
from codi_core.evaluation.video import PictureError, write_gif, write_video
from codi_core.files.pictures import save_figure

ENCODER = """\
#!/bin/sh
for last; do :; done
head -c 100 > "$last"
echo "[out#0/mp4 @ 0x55a1] Error closing file: No space left on device" >&2
exit 228
"""
"""Reads a hundred bytes, and then has no room for them."""


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file becomes larger than so many bytes, not even another process's."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noise(count: int) -> list[video.Frame]:
    """Frames that no codec makes small."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(count)]


def test_a_video_without_room_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with room_for(20_000), pytest.raises(PictureError, match=r"could not finish '.*video\.mp4': "):
        write_video(path, noise(40), 10)
    assert list(tmp_path.iterdir()) == []
    write_video(path, noise(4), 10)
    whole = path.read_bytes()
    with room_for(20_000), pytest.raises(PictureError):
        write_video(path, noise(40), 10)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_encoder_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tmp_path / "encoder"
    encoder.write_text(ENCODER)
    encoder.chmod(0o755)
    monkeypatch.setattr(video, "_ffmpeg", lambda: str(encoder))
    path = tmp_path / "video.mp4"
    with pytest.raises(PictureError) as caught:
        write_video(path, noise(200), 10)
    assert str(caught.value) == (
        f"the encoder could not finish '{path}': Error closing file: No space left on device"
    )
    assert list(tmp_path.iterdir()) == [encoder]


def test_frames_that_cannot_be_drawn_end_the_encoder(tmp_path: Path) -> None:
    def frames() -> Iterator[video.Frame]:
        yield from noise(3)
        raise KeyError("gripper")

    with pytest.raises(KeyError, match="gripper"):
        write_video(tmp_path / "video.mp4", frames(), 10)
    assert list(tmp_path.iterdir()) == []


def test_other_pictures_without_room_leave_what_was_there(tmp_path: Path) -> None:
    figure, path = Figure(), tmp_path / "report.png"
    figure.subplots().imshow(noise(1)[0])
    save_figure(figure, path)
    whole = path.read_bytes()
    assert whole.startswith(b"\x89PNG")
    with (
        room_for(1000),
        pytest.raises(UsageError, match=r"cannot write the folder .*: File too la"),
    ):
        save_figure(figure, path, dpi=200)
    assert path.read_bytes() == whole
    gif = write_gif(tmp_path / "episode.gif", noise(2), 10)
    whole = gif.read_bytes()
    with room_for(1000), pytest.raises(UsageError, match="File too large"):
        write_gif(gif, noise(20), 10)
    assert gif.read_bytes() == whole
    assert sorted(tmp_path.iterdir()) == [gif, path]


def test_a_run_keeps_everything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    encoder = tmp_path / "encoder"
    encoder.write_text(ENCODER)
    encoder.chmod(0o755)
    monkeypatch.setattr(video, "_ffmpeg", lambda: str(encoder))
    folder = tmp_path / "run"
    options = ["--task", "example-points", "--episodes", "2", "--max-seconds", "1"]
    assert main([*options, "--output", str(folder)]) == 0
    captured = capsys.readouterr()
    assert f"warning: video.mp4 was not written: the encoder could not finish '{folder}" in (
        captured.err
    )
    assert "video.mp4" not in captured.out
    for name in ("report.png", "metrics.json", "episodes.jsonl"):
        assert f"wrote {folder / name}" in captured.out
        assert (folder / name).stat().st_size > 0
    assert not list(folder.glob("*video*"))
