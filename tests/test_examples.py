"""The scripts in ``examples/`` run as they stand, and print what they promise."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.plugin_path import ROOT, environment

EXAMPLES = ROOT / "examples"
LONGEST = {"own_environment.py": 95}
"""Lines, the docstring and empty ones included; of the others 70."""


def run(name: str, folder: Path) -> list[str]:
    """What a script prints, line by line."""
    plugins = [ROOT / "plugins" / plugin for plugin in ("codi_franka", "codi_navigation")]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env=environment(*plugins),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers(line: str) -> list[float]:
    """The numbers in a line."""
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", line)]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_example_is_short_tested_and_listed(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST.get(path.name, 70)
    assert f'run("{path.name}"' in Path(__file__).read_text()
    assert f"`{path.name}`" in (EXAMPLES / "README.md").read_text()


def test_two_gaussians_are_composed_as_in_closed_form(tmp_path: Path) -> None:
    (line,) = run("compose_two_gaussians.py", tmp_path)
    mean, variance, *exact = numbers(line)
    assert exact == [0.4, 0.4]
    assert abs(mean - 0.4) < 0.06  # 2000 worlds: four standard errors
    assert abs(variance - 0.4) < 0.06


def test_an_own_cost_slows_robots_down(tmp_path: Path) -> None:
    without, slow = (numbers(line) for line in run("own_cost.py", tmp_path))
    for success, *_ in (without, slow):
        assert success >= 75
    assert slow[1] > 1.1 * without[1]  # the makespan
    assert slow[2] < 0.85 * without[2]  # the highest speed
    assert without[2] > 0.9


def test_an_own_kind_of_policy_needs_the_cost_to_keep_clear(tmp_path: Path) -> None:
    base, codi = (numbers(line) for line in run("own_policy.py", tmp_path))
    assert base == [0, 100]  # success and contact, per cent
    assert codi == [100, 0]


def test_a_plan_costs_less_than_what_the_policies_do_alone(tmp_path: Path) -> None:
    alone, planned, _ = run("plan_once.py", tmp_path)
    median, lowest = numbers(alone)
    cost, actions, *_ = numbers(planned)
    assert lowest < median
    assert cost < 0.6 * median
    assert actions == 16
    assert (tmp_path / "plan.png").stat().st_size > 10_000


def test_agents_of_another_library_are_coordinated(tmp_path: Path) -> None:
    pytest.importorskip("mpe2")
    alone, together = (numbers(line)[0] for line in run("own_environment.py", tmp_path))
    assert alone >= 60  # per cent of the episodes
    assert together <= 0.5 * alone


@pytest.mark.slow
def test_a_grid_goes_on_where_it_was(tmp_path: Path) -> None:
    table = run("run_a_grid.py", tmp_path)
    results = tmp_path / "runs" / "grid" / "results.csv"
    rows = {row["row"]: row for row in csv.DictReader(results.read_text().splitlines())}
    assert int(rows["policies alone"]["successes"]) == 0
    assert int(rows["the settings of the task"]["successes"]) == 4
    done = [tmp_path / "runs" / "grid" / label / "episodes.jsonl" for label in rows]
    before = [path.stat().st_mtime_ns for path in done]
    assert run("run_a_grid.py", tmp_path) == table
    assert [path.stat().st_mtime_ns for path in done] == before
