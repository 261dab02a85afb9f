"""Makes the plugin known to the host where codi-franka is only on the path, not installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

ENTRY_POINT = "franka = codi_franka.plugin"


def install_franka(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put what an installer would leave into ``folder``, unless there is an installation."""
    if "franka" in {point.name for point in metadata.entry_points(group="codi")}:
        return
    info = folder / "codi_franka-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: codi-franka\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[codi]\n{ENTRY_POINT}\n")
    monkeypatch.syspath_prepend(str(folder))
