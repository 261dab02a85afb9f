"""The benchmark of a GPU runs where there is none, too, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_latency.py"
SMALL = {
    "--samples": "4",
    "--worlds": "2",
    "--agents": "3",
    "--drive": "2",
    "--training-steps": "3",
    "--windows": "300",
    "--repeats": "1",
}


def test_figures_of_the_device_stand_beside_those_of_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--json", str(path)]
    command += [word for pair in SMALL.items() for word in pair]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(path.read_text())
    rounded = figures["handover"].pop("precisions")["bfloat16"]
    assert rounded["device_ms"]["median"] > 0
    errors = {each["t"]: each["rms"] for each in rounded["errors"]}
    assert len(errors) == 16
    assert all(1e-4 < rms < 0.01 for rms in errors.values())  # the data's spread is 1
    rows = [*figures["handover"].values(), *figures["teams"].values()]
    assert len(rows) == 4
    assert all(row["device_ms"]["median"] > 0 and row["cpu_ms"]["median"] > 0 for row in rows)
    assert figures["handover"]["predictor"]["difference"] == 0.0
    assert figures["training"]["device_s_extrapolated"] == (
        figures["training"]["device_step_ms"] * 16
    )
    assert "16000 steps would take" in " ".join(told.split())
