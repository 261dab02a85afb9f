"""The wheels: what is in them, and that codi-core needs neither a plugin nor a simulator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import codi_core

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {
    "codi_core": ROOT,
    "codi_franka": ROOT / "plugins" / "codi_franka",
    "codi_navigation": ROOT / "plugins" / "codi_navigation",
}
PARTS = ("pyproject.toml", "README.md", "LICENSE", "NOTICE")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=PROJECTS)
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(request.param, tmp_path_factory.mktemp("wheel"))


def build(package: str, folder: Path) -> Path:
    """Build a wheel from a copy of the sources, without a network."""
    source, made = folder / "source", folder / "made"
    source.mkdir()
    project = PROJECTS[package]
    for part in PARTS:
        if (project / part).exists():
            shutil.copy(project / part, source)
    shutil.copytree(
        project / package,
        source / package,
        ignore=shutil.ignore_patterns("__pycache__", ".*_cache"),
    )
    # As in a checkout: folders beside the package must not get into its wheel.
    for other in ("tests", "docs", "benchmarks"):
        (source / other).mkdir()
        (source / other / "__init__.py").touch()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--quiet",
            "--disable-pip-version-check",
            "--wheel-dir",
            str(made),
            str(source),
        ],
        check=True,
        timeout=120,
    )
    (path,) = made.glob(f"{package}-*.whl")
    return path


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def package_of(wheel: Path) -> str:
    return wheel.name.split("-", maxsplit=1)[0]


def test_a_wheel_holds_its_package_and_nothing_else(wheel: Path) -> None:
    package = package_of(wheel)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {package, f"{package}-{codi_core.__version__}.dist-info"}
    shipped = {name for name in names if name.startswith(package + "/")}
    folder = PROJECTS[package] / package
    sources = {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*.py")
        if not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }
    assert sources <= shipped
    assert f"{package}/py.typed" in shipped
    assert not {Path(name).suffix for name in shipped} - {
        ".py",
        ".typed",
        ".safetensors",
        ".json",
        ".md",
    }


def test_a_wheel_says_under_which_licence(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["License-Expression"] == "Apache-2.0"
    with zipfile.ZipFile(wheel) as archive:
        (text,) = (
            archive.read(name).decode()
            for name in archive.namelist()
            if name.endswith(".dist-info/licenses/LICENSE")
        )
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_a_wheel_has_the_version_and_the_pythons(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["Version"] == codi_core.__version__
    assert set(said["Requires-Python"].split(",")) == {">=3.11", "<3.14"}


def test_codi_core_has_its_commands_and_needs_no_simulator(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wheel = build("codi_core", tmp_path_factory.mktemp("core"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (info,) = tmp_path.glob("*.dist-info")
    parsed = ConfigParser()
    parsed.read(info / "entry_points.txt")
    assert set(parsed["console_scripts"]) == {
        "codi",
        "codi-bench",
        "codi-collect",
        "codi-distil",
        "codi-plugins",
        "codi-run",
        "codi-train",
    }
    needed = {
        line.split(";")[0]
        for line in metadata(wheel).get_all("Requires-Dist", [])
        if "extra ==" not in line
    }
    assert not [line for line in needed if line.startswith(("mujoco", "pandas", "matplotlib"))]
    done = in_a_bare_environment(tmp_path, IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "complete"


def test_codi_franka_ships_its_checkpoint_and_its_notice(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    wheel = build("codi_franka", tmp_path_factory.mktemp("franka"))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (
            archive.read(name).decode() for name in names if name.endswith("entry_points.txt")
        )
        notice = [name for name in names if name.endswith(".dist-info/licenses/NOTICE")]
        checkpoints = [
            archive.getinfo(name).file_size for name in names if name.endswith(".safetensors")
        ]
    assert entry_points.split() == ["[codi]", "franka", "=", "codi_franka.plugin"]
    assert len(notice) == 1
    assert len(checkpoints) >= 1
    assert sum(checkpoints) < 20e6


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "codi_core").symlink_to(ROOT / "codi_core")
    done = in_a_bare_environment(tmp_path, MISSING_DATA)
    assert done.returncode in (1, 2), done.stderr
    assert "codi-core[data]" in done.stderr
    assert "Traceback" not in done.stderr


BLOCK = """
import importlib.abc, importlib.util, sys

ABSENT = {
    "codi_franka", "franky_sim", "gymnasium", "imageio_ffmpeg", "matplotlib", "mujoco",
    "mujoco_warp", "pandas", "PIL", "pyarrow", "warp",
}

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
"""Makes packages of extras, simulators and plugins look uninstalled."""

IMPORT_ALL = (
    BLOCK
    + """
import importlib, pkgutil
import codi_core
from codi_core.errors import CodiError

assert HERE in codi_core.__file__, codi_core.__file__
NEED_DATA = (
    "codi_core.data",
    "codi_core.evaluation.recorder",
    "codi_core.experiments.collecting",
    "codi_core.training",
)
for module in pkgutil.walk_packages(codi_core.__path__, "codi_core.", onerror=lambda name: None):
    if module.name.startswith(NEED_DATA):
        continue  # these are what the extra "data" is for
    importlib.import_module(module.name)
for name in dir(codi_core):
    getattr(codi_core, name)

from codi_core.host.plugins import load_plugins

host = load_plugins(entry_points=[])
assert "codi" in host.methods and "isotropic" in host.posteriors
print("complete")
"""
)

MISSING_DATA = (
    BLOCK
    + """
from codi_core.cli.train import main

sys.exit(main(["demonstrations", "--output", "policy"]))
"""
)


def in_a_bare_environment(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that finds codi_core in ``folder`` first."""
    return subprocess.run(
        [sys.executable, "-c", f"HERE = {str(folder)!r}\n{code}"],
        cwd=folder,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
