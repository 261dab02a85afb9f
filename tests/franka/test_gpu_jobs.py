"""The benchmark of a GPU's long jobs runs where there is none, too, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_jobs.py"
SMALL = ("--worlds", "2", "--cpu-worlds", "1", "--seconds", "0.5", "--parts", "evaluation")


def test_an_evaluation_is_broken_off_and_extrapolated(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--json", str(path), *SMALL]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(path.read_text())
    for name, worlds in (("evaluation", 2), ("evaluation, CPU", 1)):
        row = figures[name]
        assert row["worlds"] == worlds
        assert 8 < row["control_steps"] < 600  # not to the end of an episode
        waves = 1000 / worlds
        assert row["s_extrapolated"] == row["ms_a_step"] / 1e3 * 600 * waves
    assert "1,000 episodes in" in told
