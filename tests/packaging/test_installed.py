"""Built wheels alone, as a user installs them, run what the pages show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.packaging.test_wheels import PROJECTS, build

QUICK = ["--episodes", "1", "--max-seconds", "0.3", "--samples", "4", "--steps", "2"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our wheels, and links to what they need instead of downloads."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    wheels = []
    for package in PROJECTS:
        (folder / package).mkdir()
        wheels.append(build(package, folder / package))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install"),
            *("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"),
            *map(str, wheels),
        ],
        check=True,
        timeout=120,
    )
    needed = folder / "needed"
    needed.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("codi", "__editable__")):
            (needed / path.name).symlink_to(path)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "needed.pth").write_text(f"{needed}\n")
    return folder / "venv" / "bin"


def ran(program: Path, *arguments: str, cwd: Path) -> str:
    """What a program of the environment prints, far from the checkout."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={**clean, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return done.stdout


def test_what_is_installed_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(ran(installed / "codi-plugins", "--json", cwd=tmp_path))["plugins"]
    assert {entry["distribution"] for entry in listed} == {
        "codi-core",
        "codi-franka",
        "codi-navigation",
    }
    where = "import codi_core, codi_franka; print(codi_core.__file__, codi_franka.__file__)"
    for path in ran(installed / "python", "-c", where, cwd=tmp_path).split():
        assert Path(path).is_relative_to(installed.parent)


@pytest.mark.parametrize(
    "task", [["franka-handoff"], ["navigation-swap", "--agents", "4"]], ids=lambda task: task[0]
)
def test_each_task_runs_from_its_wheel(installed: Path, tmp_path: Path, task: list[str]) -> None:
    options = ["--task", *task, *QUICK, "--no-video", "--no-report", "--output", "run"]
    ran(installed / "codi-run", *options, cwd=tmp_path)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["episodes"] == 1
