"""What a result came from: versions, machine, checkpoint."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from codi_core.host.plugins import Host
from codi_core.version import __version__

PACKAGES = ("torch", "numpy", "mujoco", "attrs", "pluggy")
"""Packages whose versions are recorded beside the plugins'."""


def versions(host: Host) -> dict[str, str]:
    """Versions of Python, of all plugins' distributions and of the packages that matter."""
    found = {"python": platform.python_version(), "codi-core": __version__}
    for plugin in host.plugins:
        found.setdefault(plugin.distribution, plugin.version)
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The kind of machine; nothing that names it."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
    }


def fingerprint(path: Path) -> str | None:
    """The SHA-256 of a file's content; None if it is no file."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
