"""Whatever stands in the files of a run folder, reading it says which file and what is wrong."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plugin_path import install_example

from codi_core.cli.run import main
from codi_core.errors import CodiError, UsageError
from codi_core.evaluation.metrics import run_metrics
from codi_core.evaluation.run_folder import RunFolder
from codi_core.files.durable import read_lines
from codi_core.tasks import Metrics

RECORD = {"episode": 0, "success": True, "completion_time_s": 1.5, "own": 3.0}
WAVE: dict[str, Any] = {
    "episodes": [0],
    "replan_seconds": [0.1, 0.2],
    "world_plans": 2,
    "counts": {"rollouts": 8},
    "stage_seconds": {"plan": 0.3},
    "series": {"sample_cost": [1.0, math.nan]},
    "delays": [0.1],
    "dropped": [0],
}
CONFIG: dict[str, Any] = {
    "configuration": {
        "task": "t",
        "method": "m",
        "predictor": "p",
        "seed": 0,
        "max_seconds": 5.0,
        "task_options": {},
    }
}
OTHERS = (None, "x", -1.5, math.nan, [], {}, [None], True)


class Own(Metrics):
    """A task's metrics that need one value of their own."""

    def episode(self, events: Any, dt: float) -> dict[str, Any]:
        raise NotImplementedError

    def summary(self, records: Any) -> dict[str, Any]:
        return {"own": float(np.mean([record["own"] for record in records]))}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of one episode."""
    made = RunFolder(tmp_path / "run")
    made.prepare(CONFIG)
    made.commit(WAVE, [RECORD])
    made.save_trace(0, {"position": np.zeros((3, 2))})
    return made


def read(folder: RunFolder) -> dict[str, Any]:
    """All that is read of a run folder."""
    folder.traces()
    folder.delays()
    configuration = folder.config()["configuration"]
    return run_metrics(configuration, folder.records(), folder.waves(), Own())


def refusal(folder: RunFolder) -> str | None:
    """What is said when a folder is read; None if it is read."""
    try:
        read(folder)
    except CodiError as error:
        return str(error)
    return None


def changed(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same with each of its values, in turn, missing or another."""
    for name in whole:
        yield name, {other: value for other, value in whole.items() if other != name}
        for other in OTHERS:
            yield name, {**whole, name: other}
        if isinstance(whole[name], dict):
            for inner, content in changed(whole[name]):
                yield f"{name}/{inner}", {**whole, name: content}


def test_a_whole_folder_is_read(folder: RunFolder) -> None:
    found = read(folder)
    assert found["success_rate"] == 1.0
    assert found["task_metrics"] == {"own": 3.0}
    assert found["rollouts_per_replan"] == 4.0


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("name", ["episodes.jsonl", "waves.jsonl"])
def test_a_line_with_other_values_is_named_or_as_good(folder: RunFolder, name: str) -> None:
    """No value leads to an error of Python's."""
    path, refused = folder.file(name), set()
    for field, line in changed(RECORD if name == "episodes.jsonl" else WAVE):
        path.write_text(json.dumps(line) + "\n")
        told = refusal(folder)
        if told is None or field == "own":
            assert told is None or "Own cannot summarise these episodes" in told
            continue
        assert f"'{path}' is damaged in line 1: it" in told, line
        refused.add(field)
    needed = {"episode", "success", "completion_time_s"}
    if name == "waves.jsonl":
        needed = {*WAVE, "counts/rollouts", "stage_seconds/plan", "series/sample_cost"}
    assert refused == needed


@pytest.mark.parametrize("content", ["", "null", "[1]", "3", "{}", '{"configuration": 3}', "{"])
@pytest.mark.parametrize("name", ["config.json", "episodes.jsonl", "waves.jsonl"])
def test_another_content_is_named(folder: RunFolder, name: str, content: str) -> None:
    path = folder.file(name)
    path.write_text(content + "\n" if content else "")
    if not content and name != "config.json":
        read(folder)  # no episode has finished
        return
    with pytest.raises(UsageError, match=rf"{name}' is damaged"):
        read(folder)


def test_a_damaged_line_in_the_middle_is_named_and_a_torn_last_one_is_dropped(
    folder: RunFolder,
) -> None:
    path = folder.file("episodes.jsonl")
    whole = json.dumps(RECORD)
    path.write_text(f"{whole}\n{whole[:20]}\n{whole}\n")
    with pytest.raises(UsageError, match=r"episodes.jsonl' is damaged in line 2: "):
        folder.records()
    path.write_text(f"{whole}\n{whole[:20]}")
    assert folder.records() == read_lines(path) == [RECORD]


def test_any_flipped_bits_of_a_trace_are_survived(folder: RunFolder) -> None:
    (path,) = folder.file("traces").iterdir()
    data, generator = path.read_bytes(), random.Random(0)
    named = 0
    for _ in range(200):
        broken = bytearray(data)
        broken[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(broken)
        told = refusal(folder)
        assert told is None or f"'{path}' is damaged" in told
        named += told is not None
    assert named > 50


def test_damage_ends_a_command_with_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install_example(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    options = ["--episodes", "2", "--max-seconds", "0.5", "--no-video", "--no-report"]
    assert main(["--task", "example-points", *options, "--output", "whole"]) == 0
    for name, old, new in (
        ("episodes.jsonl", '"success"', '"succes"'),
        ("episodes.jsonl", '"min_gap_m"', '"min_gap"'),
        ("waves.jsonl", '"counts"', '"count"'),
        ("config.json", '"task_options"', '"task_option"'),
        ("config.json", '"episodes": 2', '"episodes": null'),
        ("config.json", '"seed": 0', '"seed": NaN'),
        ("config.json", '"device": "cpu"', '"device": 3'),
    ):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree("whole", "run")
        path = Path("run", name)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        assert main(["--resume", "--output", "run"]) == 2, (name, new)
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("error: "), error
    with pytest.raises(CodiError):
        RunFolder(Path("nowhere")).config()
