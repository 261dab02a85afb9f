"""The kernel that follows the cube on a GPU, run by Triton's interpreter where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

SCRIPT = Path(__file__).with_name("cube_kernel_check.py")


def test_the_kernel_puts_the_cube_where_the_rounds_do() -> None:
    """In a process of its own: Triton reads the variable when it is imported."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    interpreted = {} if device == "cuda" else {"TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), device],
        env={**os.environ, **interpreted},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "grasped, dropped and never touched" in done.stdout
