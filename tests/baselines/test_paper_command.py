"""``codi-bench paper`` from end to end, on a tiny task that lacks some of the paper's parts."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codi_baselines.paper import figures
from codi_baselines.paper.command import DEFAULTS
from codi_baselines.paper.figures import COMPARISONS
from codi_baselines.paper.rows import ROWS
from codi_core.cli.bench import main
from codi_core.commands.errors import INTERRUPTED
from tests.baselines.interrupted import interrupt_the_second_wave
from tests.core.plugin_path import ROOT, environment, install, install_example

TASK = ["paper", "--task", "paper-points"]
FAST = [*TASK, "--episodes", "4", "--worlds", "2", "--max-seconds", "0.8"]
ABLE = ["codi", "codi-200", "base", "codi-no-guard", "best-of", "resampling"]
FEW = ["--rows", "codi", "base"]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    install_example(folder)
    install(folder, "codi-paper-points", {"paper_points": "paper_points"})
    shutil.copy(ROOT / "tests" / "baselines" / "paper_points.py", folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def configuration(label: str) -> dict[str, Any]:
    content = json.loads(Path("out", label, "config.json").read_text())
    stored: dict[str, Any] = content["configuration"]
    return stored


def episodes(folder: str = "out") -> dict[str, list[str]]:
    paths = Path(folder).glob("*/episodes.jsonl")
    return {path.parent.name: sorted(path.read_text().splitlines()) for path in paths}


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes half a second."""
    monkeypatch.setattr(figures, "COMPARISONS", COMPARISONS[:1])


def test_it_runs_what_can_be_run_and_names_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--output", "out"]) == 0
    captured = capsys.readouterr()
    assert sorted(path.parent.name for path in Path("out").glob("*/metrics.json")) == sorted(ABLE)
    page = Path("out/claims.md").read_text()
    for row in ROWS:
        left_out = row.label not in ABLE
        assert (f"warning: row '{row.label}' is left out: " in captured.err) is left_out
        assert (f"- `{row.label}`: " in page) is left_out
    assert "row 'base-joint' is left out: unknown base policy 'joint'" in captured.err
    assert "C1: " in captured.out
    assert "C5: not tested. " in captured.out
    assert "| C4 | not tested |" in page

    with Path("out/table.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["row"] for row in table] == ABLE
    assert [float(row["rollouts_per_replan"]) for row in table] == [256, 256, 0, 256, 128, 128]
    assert json.loads(Path("out/table.json").read_text())["rows"][0]["successes"] == int(
        table[0]["successes"]
    )
    assert Path("out/table.md").read_text().count("\n") == 2 + len(ABLE)
    for name in ("figure-2.png", *(each.file for each in COMPARISONS)):
        assert Path("out", name).stat().st_size > 5000, name
        assert f"wrote out/{name}" in captured.out


@pytest.mark.usefixtures("one_figure")
def test_rows_have_the_options_that_they_stand_for() -> None:
    rows = ["codi-200", "codi-no-guard", "best-of", "resampling"]
    assert main([*FAST, "--output", "out", "--temperature", "0.1", "--rows", *rows]) == 0
    found = {row: configuration(row) for row in rows}
    for stored in found.values():
        assert stored["preset"] == "paper"
        assert stored["seed"] == DEFAULTS["seed"]
        assert (stored["episodes"], stored["worlds"], stored["max_seconds"]) == (4, 2, 0.8)
        assert stored["temperature"] == 0.1  # what is given prevails over the preset
    assert found["codi-200"]["policy"] == "single-agent-200"
    assert found["codi-200"]["samples"] == 32
    assert [found[row]["task_options"]["guard"] for row in rows] == [True, False, True, True]
    assert [found[row]["samples"] * found[row]["steps"] for row in rows[2:]] == [512, 128]


@pytest.mark.usefixtures("one_figure")
def test_it_goes_on_where_it_was_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = interrupt_the_second_wave(monkeypatch)
    assert main([*FAST, *FEW, "--output", "out"]) == INTERRUPTED
    assert "codi-bench paper --resume --output out" in capsys.readouterr().err
    assert "| CoDi | " in Path("out/table.md").read_text()  # of what there is
    assert main([*FAST, *FEW, "--output", "out"]) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert main([*FAST, *FEW, "--output", "out", "--resume"]) == 0
    assert calls == [(0, 1), (2, 3), (2, 3), (0, 1), (2, 3)]
    assert main([*FAST, *FEW, "--output", "whole"]) == 0
    assert episodes() == episodes("whole")
    # Nothing is left to run, but everything is drawn again.
    Path("out/figure-4.png").unlink()
    assert main([*FAST, *FEW, "--output", "out", "--resume"]) == 0
    assert Path("out/figure-4.png").exists()
    assert len(calls) == 9


def test_processes_share_the_work(site: Path) -> None:
    command = [sys.executable, "-m", "codi_core.cli.bench", *FAST, *FEW, "--output", "out"]
    folders = site, ROOT / "plugins" / "codi_baselines"
    made = [subprocess.Popen([*command, "--resume"], env=environment(*folders)) for _ in range(2)]
    assert [process.wait(timeout=240) for process in made] == [0, 0]
    assert {label: len(lines) for label, lines in episodes().items()} == {"codi": 4, "base": 4}
    assert all(len(set(lines)) == 4 for lines in episodes().values())
    assert Path("out/table.md").read_text().count(" of 4: ") == 2
    assert not list(Path("out").glob("*.part"))


@pytest.mark.usefixtures("one_figure")
def test_rows_join_those_that_were_measured_before() -> None:
    arguments = [*FAST, "--output", "out", "--resume", "--rows"]
    assert main([*arguments, "base"]) == 0
    before = episodes()
    assert main([*arguments, "codi"]) == 0
    assert [row["row"] for row in json.loads(Path("out/table.json").read_text())["rows"]] == [
        "codi",
        "base",
    ]
    assert episodes()["base"] == before["base"]


def test_a_row_that_was_asked_for_must_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--output", "out", "--rows", "codi", "base-joint"]) == 2
    error = capsys.readouterr().err
    assert "row 'base-joint' cannot be run: unknown base policy 'joint'" in error
    assert main([*FAST, "--rows", "cody"]) == 2
    assert "unknown row 'cody'; did you mean 'codi'?" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.usefixtures("one_figure")
def test_quick_runs_fewer_episodes_of_fewer_rows() -> None:
    assert main([*TASK, "--quick", "--max-seconds", "0.2", "--output", "out"]) == 0
    quick = [row.label for row in ROWS if row.quick and row.label in ABLE]
    assert sorted(episodes()) == sorted(quick) != sorted(ABLE)
    assert configuration("codi")["episodes"] == 12
    assert "12 starts, seed 307 (a preview)" in Path("out/claims.md").read_text()


@pytest.mark.usefixtures("one_figure")
def test_a_task_of_other_words_is_measured_too() -> None:
    """The example task has neither the preset nor the paper's measures."""
    other = ["paper", "--task", "example-points", *FAST[3:], *FEW, "--output", "out"]
    assert main([*other, "--measure", "distance=min_gap_m"]) == 0
    assert configuration("codi")["preset"] is None
    table = json.loads(Path("out/table.json").read_text())["rows"]
    assert 0 < table[0]["distance_median"] < table[1]["distance_median"]
    assert "collisions_share" not in table[0]
    assert not Path("out/figure-2.png").exists()


def test_help_teaches_without_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["paper", "--help"]) == 0
    out = capsys.readouterr().out
    for words in ("--quick", "codi-joint-simple", "--joint-data", "default: franka-handoff"):
        assert words in " ".join(out.split())
    assert "--policy" not in out  # the rows choose it
