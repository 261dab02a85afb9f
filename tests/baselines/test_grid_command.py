"""``codi-bench grid`` from end to end: a file of rows in, one table out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codi_baselines.grids.command import EXAMPLE
from codi_baselines.grids.file import read_grid_file
from codi_core.cli.bench import main
from codi_core.commands.errors import INTERRUPTED
from codi_core.errors import UsageError
from tests.baselines.interrupted import interrupt_the_second_wave
from tests.core.plugin_path import ROOT, install_bad_costs, install_example

FILE = """
task = "example-points"

[shared]
episodes = 4
worlds = 2
max_seconds = 0.8
seed = 3

[rows.printed]

[rows."matched, near"]
posterior = "matched"
task_options = { starts = [-0.1, 0.1] }

[rows.base]
method = "base"
"""


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    install_example(folder)
    install_bad_costs(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    Path("rows.toml").write_text(FILE)


def results(folder: str = "out") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(Path(folder, "results.json").read_text())["rows"]
    return rows


def timeless(folder: str) -> list[dict[str, Any]]:
    return [{**row, "plan_ms_per_world": None} for row in results(folder)]


def test_a_file_of_rows_becomes_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grid", "rows.toml", "--output", "out"]) == 0
    rows = results()
    assert [row["row"] for row in rows] == ["printed", "matched, near", "base"]
    assert [row["posterior"] for row in rows] == ["isotropic", "matched", "isotropic"]
    assert [row["starts"] for row in rows] == [[-0.8, 0.8], [-0.1, 0.1], [-0.8, 0.8]]
    assert all((row["episodes"], row["missing"]) == (4, 0) for row in rows)
    out = capsys.readouterr().out
    assert "matched, near" in out
    for name in ("results.json", "results.csv", "results.png"):
        assert f"wrote out/{name}" in out
        assert Path("out", name).stat().st_size > 200
    command = json.loads(Path("out/base/config.json").read_text())["command"]
    assert command == ["codi-bench", "grid", "rows.toml", "--output", "out"]


def test_json_says_the_same_and_workers_change_nothing() -> None:
    import tomllib

    Path("rows.json").write_text(json.dumps(tomllib.loads(FILE)))
    assert main(["grid", "rows.json", "--output", "one"]) == 0
    assert main(["grid", "rows.toml", "--output", "two", "--workers", "2"]) == 0
    assert timeless("one") == timeless("two")


def test_rows_are_chosen_and_join_those_that_are_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["grid", "rows.toml", "--output", "out", "--rows", "base"]) == 0
    assert [row["row"] for row in results()] == ["base"]
    assert main(["grid", "rows.toml", "--output", "out"]) == 2
    assert "'out/base' already holds a run" in capsys.readouterr().err
    assert main(["grid", "rows.toml", "--output", "out", "--resume"]) == 0
    assert [row["missing"] for row in results()] == [0, 0, 0]
    assert main(["grid", "rows.toml", "--rows", "bse"]) == 2
    assert "unknown row 'bse'; did you mean 'base'?" in capsys.readouterr().err


def test_a_row_that_breaks_is_named_and_the_others_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("rows.toml").write_text(FILE + '[rows.bad]\ncost = "raising"\n')
    assert main(["grid", "rows.toml", "--output", "out"]) != 0
    captured = capsys.readouterr()
    assert "error: row 'bad' stopped: " in captured.err
    assert "wrote out/results.png" in captured.out
    assert [row["episodes"] for row in results()] == [4, 4, 4, 0]


def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = interrupt_the_second_wave(monkeypatch)
    assert main(["grid", "rows.toml", "--output", "out"]) == INTERRUPTED
    assert (
        "interrupted after 2 episodes, which are in 'out'; go on with the same options and: "
        "codi-bench grid rows.toml --resume --output out" in capsys.readouterr().err
    )
    assert main(["grid", "rows.toml", "--output", "out", "--resume"]) == 0
    assert calls == [(0, 1), (2, 3), (2, 3), *[(0, 1), (2, 3)] * 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("task = ", "'bad.toml' is neither TOML nor"),
        ("rows = 3", "has no task"),
        ('task = "t"\nepisodes = 3', "has episodes outside of its tables"),
        ('task = "t"\nrows = 3', "[rows] must hold options by name"),
        ('task = "t"\n[shared]\n', "needs rows"),
        ('task = "example-points"\n[rows]\nbase = 3', "row 'base': options are values by name"),
        ('task = "example-points"\n[rows.base]\nmethods = "base"', "no options called methods"),
        ('task = "example-points"\n[rows."a/b"]\n', "its label names a folder"),
    ],
)
def test_mistakes_in_the_file_are_named(
    content: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.toml").write_text(content)
    assert main(["grid", "bad.toml", "--output", "out"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grid", "none.toml"]) == 2
    assert "cannot read 'none.toml'" in capsys.readouterr().err


def test_the_example_of_the_docs_can_be_read(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "experiments.md").read_text()
    path = tmp_path / "example.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    file = read_grid_file(path)
    assert list(file.rows) == ["printed", "correlated", "another goal"]
    assert file.rows["another goal"] == {"task_options": {"goal": [0.5, 0.1]}}


def test_the_example_of_the_help_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(EXAMPLE.partition(":\n")[2].partition("\ncodi-run")[0])
    file = read_grid_file(path)
    assert file.task == "franka-handoff"
    assert list(file.rows) == ["printed", "matched", "elsewhere"]
    assert file.shared == {"episodes": 200, "seed": 1}
    with pytest.raises(UsageError):
        read_grid_file(tmp_path)
