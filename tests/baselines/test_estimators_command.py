"""``codi-bench`` from end to end, as small as it goes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from codi_baselines.closed_form import problems, session
from codi_baselines.closed_form.estimators import EXACT_GUIDANCE, PRINTED
from codi_core.cli.bench import main
from codi_core.cli.main import main as codi
from codi_core.commands.errors import INTERRUPTED

NAMES = (EXACT_GUIDANCE, PRINTED, "library", "resampling")
FAST = ["estimators", "--quick", "--seeds", "1", "--workers", "1", "--estimators", *NAMES]


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugins, a fresh present folder, and few plans."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("codi_baselines.closed_form.command.QUICK_BUDGET", 50_000)
    monkeypatch.setattr("codi_baselines.closed_form.estimators.QUICK", 64)


def results(folder: str = "bench") -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(folder, "estimators.json").read_text())
    return content


def timeless(folder: str) -> list[dict[str, Any]]:
    """The rows without what no two runs agree in."""
    return [{**row, "seconds": None} for row in results(folder)["rows"]]


def test_a_benchmark_writes_everything_and_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FAST, "--output", "bench"]) == 0
    out = capsys.readouterr().out
    for name in ("estimators.json", "estimators.csv", "estimators.png"):
        assert Path("bench", name).stat().st_size > 0
        assert f"wrote bench/{name}" in out
    found = results()
    assert found["references"]["32"]["exact draws of π"] == pytest.approx(0.91, abs=0.01)
    assert found["unguided"]["32"] == pytest.approx(136, rel=0.02)
    assert found["configuration"]["families"]["32"]["spread"] == problems.SPREAD
    assert found["versions"]["torch"]
    assert [(row["estimator"], row["samples"]) for row in found["rows"]] == [
        (EXACT_GUIDANCE, 1),
        *((PRINTED, count) for count in (16, 64)),
        *(("library", count) for count in (16, 64)),
        *(("resampling", count) for count in (4, 16, 64)),
    ]
    printed = found["rows"][1]
    assert printed["evaluations"] == 16 * problems.SCHEDULE.steps
    assert printed["cost"] > 3 * found["rows"][0]["cost"]
    assert [verdict["sentence"] in out for verdict in found["verdicts"]] == [True, True]
    with Path("bench/estimators.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [float(line["cost"]) for line in table] == [row["cost"] for row in found["rows"]]
    assert float(table[1]["error_0.5"]) == printed["errors"]["0.5"]


def test_an_interrupted_benchmark_is_resumed_with_the_same_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FAST, "--output", "whole"]) == 0
    measured, asked = session.measure, []

    def tired(cell: Any, *rest: Any) -> Any:
        asked.append(cell.title)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return measured(cell, *rest)

    monkeypatch.setattr(session, "measure", tired)
    assert main([*FAST, "--output", "torn"]) == INTERRUPTED
    assert "interrupted after 3 cells" in capsys.readouterr().err
    assert len(results("torn")["rows"]) == 3
    assert main([*FAST, "--output", "torn"]) == 2
    assert "already holds a benchmark: --resume goes on" in capsys.readouterr().err
    assert main([*FAST, "--output", "torn", "--resume"]) == 0
    assert asked.count(asked[0]) == 1  # what is there is not measured again
    assert timeless("torn") == timeless("whole")
    assert main([*FAST, "--seeds", "2", "--output", "torn", "--resume"]) == 2
    assert "cannot resume 'torn': seeds was 1 and is now 2" in capsys.readouterr().err


def test_jobs_are_listed_and_typos_are_helped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "estimators" in capsys.readouterr().out
    assert main([]) == 2
    assert "which job?" in capsys.readouterr().err
    assert main(["estimator"]) == 2
    assert "unknown benchmark 'estimator'; did you mean 'estimators'?" in capsys.readouterr().err
    assert main(["estimators", "--estimators", "libary"]) == 2
    assert "unknown estimator 'libary'; did you mean 'library'?" in capsys.readouterr().err
    assert main(["estimators", "--quik"]) == 2
    assert "unknown option --quik; did you mean --quick?" in capsys.readouterr().err
    assert main(["estimators", "--seeds", "0"]) == 2
    assert "whole number of at least 1" in capsys.readouterr().err
    assert codi(["bench", "--help"]) == 0
    assert "usage: codi-bench JOB" in capsys.readouterr().out


def test_an_unwritable_folder_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("in the way")
    assert main([*FAST, "--output", "file/bench"]) == 2
    assert "cannot write the folder 'file/bench'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_number_of_processes_changes_no_result() -> None:
    for workers in ("1", "2"):
        assert main([*FAST, "--workers", workers, "--output", workers]) == 0
    assert timeless("1") == timeless("2")
