"""What this project's other distributions register, for a hint to those who lack one."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType

BROUGHT_BY: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "codi-baselines": {
            "method": (
                "codi-joint",
                "codi-indep",
                "codi-simple",
                "codi-joint-simple",
                "cg-joint",
                "cg-product",
                "dpmd-joint",
                "sdac-joint",
                "expo-joint",
            ),
            "benchmark": ("estimators", "locality", "grid", "task", "paper"),
        },
        "codi-franka": {"task": ("franka-handoff",)},
        "codi-navigation": {
            "task": ("navigation-swap", "navigation-corridor", "navigation-warehouse")
        },
    }
)
"""By distribution, the names that it registers, by what one is called."""


def to_install(kind: str, name: str) -> str | None:
    """The distribution that would bring something of that name, if it is not installed."""
    for distribution, kinds in BROUGHT_BY.items():
        if name in kinds.get(kind, ()) and not _installed(distribution):
            return distribution
    return None


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
