"""Folders that commands write: one kind, one writer."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from codi_core.errors import UsageError
from codi_core.files.folders import DATA_SET, GRID, RUN, TRAINING, claimed, kind_of, visible
from codi_core.files.interrupts import uninterrupted


def fill(folder: Path, kind: str, **settings: bool) -> Path:
    with claimed(folder, kind, **settings):
        (folder / "content").touch()
    return folder


def test_a_folder_says_what_it_holds(tmp_path: Path) -> None:
    folder = fill(tmp_path / "new" / "folder", RUN)
    assert (kind_of(folder), visible(folder)) == (RUN, ["content"])
    assert kind_of(tmp_path) is None


@pytest.mark.parametrize("kind", [RUN, TRAINING, DATA_SET])
@pytest.mark.parametrize("settings", [{}, {"resume": True}, {"overwrite": True}])
def test_another_kind_is_refused_whatever_is_asked_for(
    tmp_path: Path, kind: str, settings: dict[str, bool]
) -> None:
    fill(tmp_path / "folder", "benchmark")
    with pytest.raises(UsageError, match=f"holds a benchmark, not a {kind}") as caught:
        fill(tmp_path / "folder", kind, **settings)
    assert caught.value.exit_code == 2
    assert kind_of(tmp_path / "folder") == "benchmark"


def test_the_same_kind_needs_to_be_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "folder", RUN)
    with pytest.raises(UsageError, match=r"already holds a run: --resume .* --overwrite"):
        fill(tmp_path / "folder", RUN)
    fill(tmp_path / "folder", RUN, resume=True)
    fill(tmp_path / "folder", RUN, overwrite=True)


def test_what_says_nothing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "love.txt").touch()
    for settings in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(UsageError, match=r"nothing says that it holds a run .*'love\.txt'"):
            fill(tmp_path, RUN, **settings)
    with claimed(tmp_path, RUN, own=("metrics.json",)):  # others may lie beside it
        (tmp_path / "metrics.json").touch()
    assert kind_of(tmp_path) == RUN


def test_files_of_ones_own_names_in_a_foreign_folder_are_not_ones_own(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("theirs")
    with (
        pytest.raises(UsageError, match=r"nothing says that it holds a run"),
        claimed(tmp_path, RUN, overwrite=True, own=("config.json",)),
    ):
        pytest.fail("somebody's file would be lost")


def test_a_claim_that_came_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    with claimed(tmp_path / "folder", RUN):
        assert kind_of(tmp_path / "folder") == RUN
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with claimed(tmp_path / "empty", RUN):
        pass
    fill(tmp_path / "empty", TRAINING)


def test_a_mount_points_own_folder_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    fill(tmp_path, RUN)


def test_an_interruption_waits_for_the_end_of_what_must_not_be_cut() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")

    # What starts tests in the background may have SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["inner", "outer"]


def test_who_waits_for_a_fresh_folder_gets_it(tmp_path: Path) -> None:
    """The first process only looks what the folder holds, as one of many that share a grid."""
    folder, failed = tmp_path / "grid", []

    def wait() -> None:
        try:
            with claimed(folder, GRID, resume=True, patience=20.0):
                (folder / "content").touch()
        except UsageError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    with claimed(folder, GRID, resume=True, patience=20.0):
        waiting.start()
        time.sleep(0.3)  # it has found the folder claimed
    waiting.join()
    assert failed == []
    assert (kind_of(folder), visible(folder)) == (GRID, ["content"])
