"""``codi-bench task`` from end to end, on the example plugin's task."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from plugin_path import install_example

from codi_core.benchmarking.on_task.entries import BUILT_IN, Entry, Spending
from codi_core.cli.bench import main
from codi_core.errors import UsageError
from codi_core.samplers import KarrasSchedule

TASK = ["task", "--task", "example-points"]
FAST = [*TASK, "--episodes", "4", "--worlds", "2", "--max-seconds", "1", "--rollouts", "128"]
SCHEDULE = KarrasSchedule(16, 40.0, 0.05, 5.0)


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    install_example(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def results(folder: str = "out") -> list[dict[str, Any]]:
    content = json.loads(Path(folder, "results.json").read_text())
    rows: list[dict[str, Any]] = content["rows"]
    return rows


def test_it_measures_every_entry_and_writes_tables_and_a_picture(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = ["isotropic", "library", "warm-start", "base"]
    assert main([*FAST, "--entries", *labels, "--output", "out"]) == 0
    rows = results()
    assert [row["entry"] for row in rows] == labels
    assert all(row["episodes"] == 4 for row in rows)
    found = {row["entry"]: row["rollouts"] for row in rows}
    assert found["isotropic"] == found["library"] == 128
    assert found["base"] == 0
    assert found["warm-start"] == pytest.approx(128, rel=0.25)  # but for the first plan
    with Path("out/results.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["entry"] for row in table] == labels
    assert float(table[0]["success_rate"]) == rows[0]["success_rate"]
    assert "min_gap_m median" in table[0]
    assert Path("out/results.png").stat().st_size > 5000
    assert "library" in capsys.readouterr().out


def test_it_goes_on_where_it_stopped() -> None:
    assert main([*FAST, "--entries", "isotropic", "--output", "out"]) == 0
    lines = Path("out/isotropic/episodes.jsonl").read_text().splitlines()
    Path("out/isotropic/episodes.jsonl").write_text("\n".join(lines[:2]) + "\n")
    before = results()
    both = [*FAST, "--entries", "isotropic", "base", "--output", "out"]
    assert main([*both, "--resume"]) == 0
    assert Path("out/isotropic/episodes.jsonl").read_text().splitlines() == lines
    again = results()
    assert [row["entry"] for row in again] == ["isotropic", "base"]
    assert again[0]["success_rate"] == before[0]["success_rate"]
    assert again[0]["task_metrics"] == before[0]["task_metrics"]


def test_a_folder_in_use_is_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*FAST, "--entries", "base", "--output", "out"]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err


def test_a_typo_is_named_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--entries", "isotropc"]) == 2
    error = capsys.readouterr().err
    assert "isotropc" in error
    assert "isotropic" in error


def test_help_teaches_without_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--rollouts" in out
    assert "--posterior" not in out  # the entries choose it


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry.label)
def test_each_entry_spends_its_budget_and_not_more(entry: Entry) -> None:
    options = entry.options(1024, SCHEDULE)
    samples = options["samples"]
    if entry.spending is Spending.STEPS:
        spent = samples * (8 if entry.label == "warm-start" else 16)
    elif entry.spending is Spending.PLAN:
        spent = samples
    elif entry.spending is Spending.BOTH:
        near = int((SCHEDULE.levels()[:-1] <= 2.0).sum())
        assert 0 < near < 16
        spent = samples * near + int(options["guidance"].rpartition("=")[2])
    else:
        spent = 1024
    assert spent == 1024


def test_a_budget_below_one_sample_is_refused() -> None:
    with pytest.raises(UsageError, match="--rollouts 8"):
        Entry("isotropic").options(8, SCHEDULE)
