"""``codi-bench task`` from end to end, on the example plugin's task."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from codi_baselines.on_task.entries import BUILT_IN, Entry, Spending, replan_schedule
from codi_core.cli.bench import main
from codi_core.errors import UsageError
from codi_core.samplers import KarrasSchedule
from tests.core.plugin_path import install_example

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
    assert [row["row"] for row in rows] == ["base", "isotropic", "warm-start", "library"]
    assert all(row["episodes"] == 4 for row in rows)
    found = {row["row"]: row["rollouts_per_replan"] for row in rows}
    assert found["isotropic"] == found["library"] == 128
    assert found["base"] == 0
    assert found["warm-start"] == pytest.approx(128, rel=0.25)  # but for the first plan
    with Path("out/results.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["row"] for row in table] == [row["row"] for row in rows]
    assert float(table[1]["success_rate"]) == rows[1]["success_rate"]
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
    assert [row["row"] for row in again] == ["base", "isotropic"]
    assert again[1]["success_rate"] == before[0]["success_rate"]
    assert again[1]["min_gap_m median"] == before[0]["min_gap_m median"]


def test_entries_join_those_that_were_measured_before() -> None:
    assert main([*FAST, "--entries", "isotropic", "--output", "out"]) == 0
    before = results()
    assert main([*FAST, "--entries", "base", "--output", "out", "--resume"]) == 0
    again = results()
    assert [row["row"] for row in again] == ["base", "isotropic"]
    assert again[1] == before[0]


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


WARM = "warm-start:sigma_warm=5.0,steps=4"


@pytest.mark.parametrize("sampler", ["ancestral", WARM])
@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry.label)
def test_each_entry_spends_its_budget_and_not_more(entry: Entry, sampler: str) -> None:
    options = entry.options(1024, SCHEDULE, sampler)
    samples = options["samples"]
    steps = {"warm-start": 8, "ancestral": 16, "resampling": 16}
    common = 4 if sampler == WARM else 16
    assert options["sampler"] == (entry.sampler or sampler)
    if entry.spending is Spending.STEPS:
        spent = samples * steps.get(entry.label, common)
    elif entry.spending is Spending.PLAN:
        spent = samples
    elif entry.spending is Spending.BOTH:
        levels = replan_schedule(sampler, SCHEDULE).levels()[:-1]
        near = int((levels <= 2.0).sum())
        assert 0 < near < common
        spent = samples * near + int(options["guidance"].rpartition("=")[2])
    elif entry.spending is Spending.SPLIT:
        assert (options["method"], samples) == ("search:rollouts=1024", 128)
        return
    else:
        spent = 1024
    assert spent == 1024


@pytest.mark.parametrize("sampler", ["heun", "warm-start:first=heun,steps=8"])
def test_two_calls_a_level_are_reckoned_with(sampler: str) -> None:
    levels = replan_schedule(sampler, SCHEDULE)
    plain, both = (next(e for e in BUILT_IN if e.label == name) for name in ("isotropic", "hybrid"))
    assert plain.options(1024, SCHEDULE, sampler)["samples"] == 1024 // (2 * levels.steps)
    options = both.options(1024, SCHEDULE, sampler)
    near = int((levels.levels()[:-1] <= 2.0).sum())
    library = int(options["guidance"].rpartition("=")[2])
    assert 2 * near * options["samples"] + library == 1024


def test_replans_with_warm_starts_have_levels_of_their_own() -> None:
    assert replan_schedule("ancestral", SCHEDULE) == SCHEDULE
    assert replan_schedule(WARM, SCHEDULE) == KarrasSchedule(4, 5.0, 0.05, 5.0)
    assert replan_schedule("warm-start", SCHEDULE) == KarrasSchedule(8, 5.0, 0.05, 5.0)


def test_entries_take_the_common_sampler_but_those_about_one() -> None:
    labels = ["isotropic", "ancestral"]
    common = ["--sampler", "warm-start:steps=4", "--entries", *labels, "--output", "out"]
    assert main([*FAST, *common]) == 0
    samplers = {
        label: json.loads(Path("out", label, "config.json").read_text())["configuration"]
        for label in labels
    }
    assert samplers["isotropic"]["sampler"] == "warm-start:steps=4"
    assert samplers["isotropic"]["samples"] == 128 // 4
    assert samplers["ancestral"]["sampler"] == "ancestral"
    assert samplers["ancestral"]["samples"] == 128 // 8


def test_a_budget_below_one_sample_is_refused() -> None:
    with pytest.raises(UsageError, match="--rollouts 8"):
        Entry("isotropic").options(8, SCHEDULE)
