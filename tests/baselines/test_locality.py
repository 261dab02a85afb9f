"""``codi-bench locality`` from end to end, as small as it goes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from codi_baselines.folder import BenchmarkFolder
from codi_baselines.locality.cells import AGENTS, HOPS, Cell, Sweeps, make_cells, measure
from codi_baselines.locality.session import Study
from codi_baselines.progress import PlainCells
from codi_core.cli.bench import main
from codi_core.commands.errors import INTERRUPTED

QUICK = ["locality", "--quick", "--repeats", "8", "--output", "bench"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows() -> list[dict[str, Any]]:
    content: dict[str, Any] = json.loads(Path("bench", "locality.json").read_text())
    return content["rows"]  # type: ignore[no-any-return]


def test_a_study_writes_everything_and_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(QUICK) == 0
    out = capsys.readouterr().out
    for name in ("locality.json", "locality.csv", "locality.png"):
        assert Path("bench", name).stat().st_size > 0
        assert f"wrote bench/{name}" in out
    assert "chain: bias / deviation" in out and "grid: bias / deviation" in out
    found = rows()
    with Path("bench", "locality.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [float(row["bias"]) for row in table] == [row["bias"] for row in found]
    assert {row["hops"] for row in table} == {"0", "1", "2", "3", "all"}
    pair = [row for row in found if row["graph"] == "chain" and row["agents"] == 2]
    # k/(2 + 3k) at k = ½ for a pair without hops; nothing else is missing beyond that.
    assert [row["limit"] for row in pair] == pytest.approx([1 / 7, 0, 0, 0, 0], abs=1e-12)


def test_a_study_is_not_overwritten_unless_told() -> None:
    assert main(QUICK) == 0
    assert main(QUICK) == 2
    assert main([*QUICK, "--overwrite"]) == 0
    assert main([*QUICK[:3], "9", *QUICK[4:], "--resume"]) == 2


def test_an_interrupted_study_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupting(cell: Cell, repeats: int) -> dict[str, Any]:
        calls.append(cell)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(cell, repeats)

    monkeypatch.setattr("codi_baselines.locality.session.measure", interrupting)
    assert main(QUICK) == INTERRUPTED
    assert len(rows()) == 3
    assert main([*QUICK, "--resume"]) == 0
    assert len(set(calls)) == len(rows()) == len(calls) - 1


def test_cells_are_not_measured_twice() -> None:
    cells = list(make_cells(Sweeps()))
    assert len(set(cells)) == len(cells)
    middle = [cell for cell in cells if cell.agents == AGENTS and cell.samples == 64]
    assert len({cell.stiffness for cell in middle}) == 5
    assert {cell.hops for cell in cells} == set(HOPS)


def test_a_grid_needs_a_square_number() -> None:
    from codi_baselines.locality.teams import GaussianTeam
    from codi_core.errors import UsageError

    with pytest.raises(UsageError, match="not 8"):
        _ = GaussianTeam("grid", 8, 1.0).edges


def test_the_same_cell_gives_the_same_numbers(tmp_path: Path) -> None:
    sweeps = Sweeps({"chain": (2,), "grid": (4,)}, (0.5,), (16,), 4)
    found = []
    for name in ("one", "two"):
        folder, study = BenchmarkFolder(tmp_path / name), Study(sweeps)
        folder.prepare({"configuration": study.configuration()})
        assert study.run(folder, PlainCells())
        found.append(study.records(folder))
    assert found[0] == found[1]
