"""Checks of this machine, and of what can be found out before an arm is asked anything."""

from __future__ import annotations

import os
import resource
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from codi_core.errors import CodiError
from codi_franka.hardware.commands.findings import Finding, Result
from codi_franka.hardware.priority import PRIORITY

ROBOT_PORT, HAND_PORT = 1337, 1338
PATIENCE = 2.0
"""[s] Within which an arm answers."""
REALTIME = Path("/sys/kernel/realtime")


def check_library() -> Finding:
    """The client library."""
    try:
        found = f"franky-control {version('franky-control')}"
    except PackageNotFoundError:
        found = "not installed"
    good = found != "not installed"
    return Finding.of("client library", good, found, "pip install 'codi-franka[hardware]'")


def check_kernel(needed: bool, flag: Path = REALTIME) -> Finding:
    """Whether the kernel is one for real time.

    Args:
        needed: simulated arms don't need it.
        flag: where such a kernel says so.
    """
    good = flag.exists() and flag.read_text().strip() == "1"
    return Finding.of(
        "real-time kernel",
        good,
        "PREEMPT_RT" if good else f"{os.uname().release} is none",
        "install a PREEMPT_RT kernel (Ubuntu: `pro enable realtime-kernel`) and boot it",
        Result.BAD if needed else Result.CAREFUL,
    )


def check_priorities(needed: bool) -> Finding:
    """Whether threads may have the priorities that they need."""
    most = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    nice = 20 - resource.getrlimit(resource.RLIMIT_NICE)[0]
    allowed = os.geteuid() == 0 or (most >= 80 and nice <= PRIORITY)
    return Finding.of(
        "priorities",
        allowed,
        "allowed" if allowed else f"real-time priority up to {most}, nice down to {nice}",
        f"as root, add to /etc/security/limits.conf: @realtime - rtprio 99, @realtime - nice "
        f"{2 * PRIORITY}; then `sudo usermod -aG realtime $USER` and log in again",
        Result.BAD if needed else Result.CAREFUL,
    )


def check_reachable(arm: str, host: str, patience: float = PATIENCE) -> Finding:
    """Whether an arm and its hand accept connections."""
    missing = [
        name
        for name, port in (("the robot", ROBOT_PORT), ("the hand", HAND_PORT))
        if not _accepts(host, port, patience)
    ]
    return Finding.of(
        f"{arm} arm at {host}",
        not missing,
        "reachable" if not missing else f"{' and '.join(missing)} can't be reached",
        "check the cable and the address in Desk (Settings, Network); activate FCI; for the hand, "
        "choose Franka Hand as end effector in Desk",
    )


def check_calibration(path: Path) -> Finding:
    """Whether the cameras are calibrated, and not too long ago."""
    from codi_franka.vision.calibration_file import complaints, read_entries

    remedy = "`codi franka-calibrate` measures them"
    try:
        entries = read_entries(path)
    except CodiError as error:
        return Finding("cameras", Result.BAD, str(error), remedy)
    places = [name for name, entry in entries.items() if entry.mount is None]
    if not entries or places:
        found = f"where {', '.join(places)} is, is unknown" if places else f"none in {path}"
        return Finding("cameras", Result.BAD, found, remedy)
    old = complaints(entries)
    oldest = max(entry.lens_measured.days for entry in entries.values())
    found = "; ".join(old) or f"{len(entries)} calibrated, {oldest:.0f} days ago at most"
    return Finding.of("cameras", not old, found, remedy, Result.CAREFUL)


def _accepts(host: str, port: int, patience: float) -> bool:
    try:
        with socket.create_connection((host, port), patience):
            return True
    except OSError:
        return False
