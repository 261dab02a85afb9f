"""The plugins of the tutorials, installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.plugin_path import ROOT, install_example

LOW_CARRY = ROOT / "docs" / "examples" / "low_carry"


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example plugin and the cost plugin, installed by pip."""
    folder = install_example(tmp_path_factory.mktemp("plugins"))
    source = tmp_path_factory.mktemp("source")
    for file in ("low_carry.py", "pyproject.toml"):
        (source / file).write_text((LOW_CARRY / file).read_text())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-build-isolation",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            str(folder),
            str(source),
        ],
        check=True,
        timeout=120,
    )
    return folder
