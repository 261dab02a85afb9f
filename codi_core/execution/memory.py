"""How much memory there is, and what is asked for beyond it: before a system kills for it."""

from __future__ import annotations

from pathlib import Path

import torch

from codi_core.errors import OUT_OF_MEMORY, UsageError

GIB = 2**30
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
"""Where a container says how much it may have, and has [bytes]."""


def available_memory(device: str) -> int | None:
    """How much more memory can be had on a device [bytes]; None if that is not known."""
    if torch.device(device).type == "cuda":
        free, _ = torch.cuda.mem_get_info(torch.device(device))
        return int(free)
    if torch.device(device).type != "cpu":
        return None
    found = [_of_machine(), *(_of_container(Path(most), Path(used)) for most, used in _LIMITS)]
    return min((value for value in found if value is not None), default=None)


def check_memory(needed: float, what: str, remedy: str, device: str) -> None:
    """Check that there is the memory that something needs.

    Args:
        needed: how much that is [bytes].
        what: what needs it, for messages.
        remedy: what to do, for messages.
        device: where.

    Raises:
        UsageError: there is less.
    """
    available = available_memory(device)
    if available is not None and needed > available:
        raise UsageError(
            f"{OUT_OF_MEMORY}: {what} need about {needed / GIB:,.1f} GiB, and "
            f"{available / GIB:,.1f} GiB are free on {device}: {remedy}"
        )


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        table = dict(line.split(":", 1) for line in lines)
        return 1024 * int(table["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return None  # another system


def _of_container(most: Path, used: Path) -> int | None:
    try:
        return max(0, int(most.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        return None  # no container, or one that may have all ("max")
