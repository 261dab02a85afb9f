"""``codi-run --only``: an episode of a run again, beside those of its original wave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin_path import install_example

from codi_core import experiments
from codi_core.cli.run import main
from codi_core.errors import UsageError
from codi_core.evaluation.run_folder import RunFolder
from codi_core.evaluation.waves import Wave, WaveRunner
from codi_core.experiments.replaying import original_waves

FAST = ["--task", "example-points", "--worlds", "2", "--max-seconds", "4", "--seed", "3"]
PLAIN = ["--no-video", "--no-report"]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of seven episodes in the waves 0-1, 2, 3-4 and 5-6."""
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    assert main([*FAST, *PLAIN, "--episodes", "3", "--output", "run"]) == 0
    assert main(["--resume", "--output", "run", "--episodes", "7"]) == 0
    return RunFolder(Path("run"))


def contents(folder: RunFolder) -> dict[str, bytes]:
    """The files of a run but for its traces."""
    files = [path for path in folder.path.iterdir() if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def test_an_episode_is_run_again_in_its_wave(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[int]] = []
    original = WaveRunner.run

    def noted(self: WaveRunner, numbers: Sequence[int], *others: Any) -> Wave:
        ran.append(list(numbers))
        return original(self, numbers, *others)

    monkeypatch.setattr(WaveRunner, "run", noted)
    before, kept = contents(run), set(run.traces())
    assert main(["--output", "run", "--only", "5", "2", "--no-video"]) == 0
    assert ran == [[2], [5, 6]]
    assert contents(run) == before
    assert set(run.traces()) == kept | {5}
    out = capsys.readouterr().out
    time = next(r["completion_time_s"] for r in run.records() if r["episode"] == 5)
    assert f"episode 5, as it was: success after {time:g} s" in out
    assert "wrote run/traces/episode-00005.npz" in out


def test_its_events_are_those_of_the_first_time(run: RunFolder) -> None:
    before = run.traces()[2]
    run.trace_file(2).unlink()
    made = experiments.replay("run", [2], progress=False)
    assert set(before) == set(made.traces[2])
    assert all(np.array_equal(before[name], made.traces[2][name]) for name in before)


def test_it_is_filmed_beside_its_events(run: RunFolder) -> None:
    assert main(["--resume", "--output", "run", "--only", "6"]) == 0
    assert run.trace_file(6).with_suffix(".mp4").stat().st_size > 0
    assert not run.file("video.mp4").exists()


def test_what_comes_out_otherwise_is_not_kept(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run.file("episodes.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[5]["completion_time_s"] += 0.1
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert main(["--output", "run", "--only", "5", "--no-video"]) == 2
    assert "episode 5 came out otherwise than in 'run'" in capsys.readouterr().err
    assert not run.trace_file(5).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--output", "run", "--only", "7"], "no episode 7: it has 7 finished ones"),
        (["--only", "1"], "--only needs --output DIR"),
        (["--output", "nothing", "--only", "1"], "'nothing' is not a run folder"),
        (["--output", "run", "--only", "1", "--overwrite"], "excludes --from and --overwrite"),
        (["--output", "run", "--only", "1", "--from", "run"], "excludes --from and --overwrite"),
        (["--output", "run", "--only", "1", "--samples", "9"], "samples was 64 and is now 9"),
        (["--output", "run", "--only", "1", "--video-episodes", "2"], "leave --video-episodes out"),
        (["--output", "run", "--only", "1", "--record", "data"], "leave --record out"),
        (["--output", "run", "--only", "-1"], "--only"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    run: RunFolder, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    try:
        code = main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert words in capsys.readouterr().err
    assert contents(run) == before


def test_waves_are_those_that_finished_each_episode(run: RunFolder) -> None:
    assert original_waves(run, [0, 1, 4]) == [[0, 1], [3, 4]]
    with pytest.raises(UsageError, match="no episode 9, 12"):
        original_waves(run, [12, 0, 9])
