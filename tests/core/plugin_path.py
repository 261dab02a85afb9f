"""Installs plugins for tests without an installer, and so without a network.

What an installer leaves on ``sys.path`` is a module beside a ``NAME-VERSION.dist-info`` folder;
:func:`install` writes both into any folder, which then goes onto ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "tests" / "example_plugin" / "codi_example.py"


def install(
    folder: Path,
    distribution: str,
    entry_points: Mapping[str, str],
    version: str = "0.1.0",
    source: str | None = None,
    module: str | None = None,
) -> Path:
    """Put a distribution with entry points of the group ``codi`` into a folder.

    ``source`` is the text of a single-file ``module`` to put beside it.
    """
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    lines = "".join(f"{name} = {target}\n" for name, target in entry_points.items())
    (info / "entry_points.txt").write_text(f"[codi]\n{lines}")
    if source is not None:
        (folder / f"{module}.py").write_text(source)
    return folder


def install_example(folder: Path) -> Path:
    """Install the example plugin, as its own pyproject.toml describes it."""
    install(folder, "codi-example", {"example": "codi_example"})
    shutil.copy(EXAMPLE, folder)
    return folder


def enter_with_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a fresh folder, with the example plugin as the module that tests import."""
    site = install(
        folder / "site", "codi-example", {"example": "tests.example_plugin.codi_example"}
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(folder)


def environment(*folders: Path) -> dict[str, str]:
    """Environment variables for a process that sees these folders and the repository."""
    path = os.pathsep.join([*map(str, folders), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}


def heed_interrupts() -> None:
    """To be run in a child: what starts tests in the background may have SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def command(
    module: str, *arguments: str, folders: tuple[Path, ...] = (), cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command's module in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment(*folders),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def install_bad_costs(folder: Path) -> Path:
    """Install ``bad_costs.py``, costs that misbehave."""
    source = (Path(__file__).parent / "bad_costs.py").read_text()
    return install(
        folder, "codi-bad-costs", {"bad": "bad_costs"}, source=source, module="bad_costs"
    )
