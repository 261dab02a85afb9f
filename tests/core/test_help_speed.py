"""The command line answers at once: help imports nothing heavy, whatever is installed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from plugin_path import environment, install_example

HEAVY = {"torch", "numpy", "matplotlib", "mujoco", "rich", "pandas", "pyarrow", "gymnasium"}


@pytest.mark.parametrize("command", ["run", "collect", "train", "plugins"])
def test_help_imports_nothing_heavy_even_with_a_heavy_plugin(tmp_path: Path, command: str) -> None:
    install_example(tmp_path)  # its module imports torch
    code = (
        f"import sys; from codi_core.cli.{command} import main\n"
        "try: code = main(['--help'])\n"
        "except SystemExit as stop: code = stop.code\n"
        f"assert not code; print('HEAVY', *set(sys.modules) & {HEAVY!r})"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        check=False,
        capture_output=True,
        text=True,
    )
    print(f"codi-{command} --help: {time.perf_counter() - began:.2f} s")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY"
    assert "codi-example 0.1.0" in done.stdout or command in ("plugins", "train")


@pytest.mark.parametrize("arguments", [["--help"], ["estimators", "--help"]])
def test_the_help_of_benchmarks_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from codi_core.cli.bench import main\n"
        f"try: code = main({arguments})\n"
        "except SystemExit as stop: code = stop.code\n"
        f"assert not code; print('HEAVY', *set(sys.modules) & {HEAVY!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY"
