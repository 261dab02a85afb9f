"""Joint positions of arms that somebody else moves, for calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from codi_core.errors import CodiError, UsageError
from codi_franka.hardware.arms.franky_links import franky
from codi_franka.robot.cell import ARMS

Array = NDArray[np.float64]


def joint_reader(addresses: str) -> Callable[[], Array]:
    """A function that reads joint positions (2, 7) [rad]; NaN for an arm that isn't named.

    Nothing is sent to the arms.

    Args:
        addresses: ``left=IP,right=IP``, or one of them.

    Raises:
        UsageError: that isn't what ``addresses`` looks like.
        CodiError: an arm does not answer.
    """
    hosts = dict(_pair(part) for part in addresses.split(","))
    library = franky()
    robots = {}
    for arm, host in hosts.items():
        try:
            robots[arm] = library.Robot(host, realtime_config=library.RealtimeConfig.Ignore)
        except Exception as error:  # the library has no common class for its errors
            raise CodiError(f"the {arm} arm can't be reached at {host}: {error}") from error

    def read() -> Array:
        unknown = np.full(7, np.nan)
        return np.stack(
            [np.asarray(robots[arm].state.q) if arm in robots else unknown for arm in ARMS]
        )

    return read


def _pair(part: str) -> tuple[str, str]:
    arm, _, host = part.partition("=")
    if arm not in ARMS or not host:
        raise UsageError(f"'{part}' names no arm's address: write left=IP,right=IP")
    return arm, host
