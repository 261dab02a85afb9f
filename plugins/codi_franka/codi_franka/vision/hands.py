"""Where the hands were at a time, for cameras that they carry and for a cube that they hold."""

from __future__ import annotations

import threading
from collections import deque

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from codi_franka.robot.cell import ARM_BASES, ARMS
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.vision.poses import difference, from_pose, moved

Array = NDArray[np.float64]

KEPT = 2.0
"""[s] How far back the history goes: longer than a picture takes."""
LATEST = 0.12
"""[s] How far ahead of its newest entry the history continues the motion."""

_BASES = np.stack(
    [from_pose((*ARM_BASES[arm].position, *ARM_BASES[arm].quaternion)) for arm in ARMS]
)


@attrs.frozen(eq=False)
class HandPoses:
    """The hands at one time.

    Attributes:
        poses: (N, 4, 4), of the TCPs in the world.
        widths: (N,) between the fingers [m].
    """

    poses: Array
    widths: Array

    @classmethod
    def of(cls, joint_positions: ArrayLike, widths: ArrayLike) -> HandPoses:
        """Of arms with these joint positions (N, 7) [rad] and widths (N,) [m]."""
        joints = torch.from_numpy(np.array(joint_positions, float))
        position, rotation = forward_kinematics(joints)
        poses = np.tile(np.eye(4), (len(ARMS), 1, 1))
        poses[:, :3, :3], poses[:, :3, 3] = rotation.numpy(), position.numpy()
        return cls(_BASES @ poses, np.array(widths, float))

    def towards(self, other: HandPoses, share: float) -> HandPoses:
        """Between these hands (share 0) and others (share 1), or beyond."""
        poses = [
            moved(start, share * difference(end, start))
            for start, end in zip(self.poses, other.poses, strict=True)
        ]
        widths = self.widths + min(share, 1.0) * (other.widths - self.widths)
        return HandPoses(np.stack(poses), widths)


class HandHistory:
    """Remembers the hands, and says where they were; for several threads at once."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, HandPoses]] = deque()
        self._lock = threading.Lock()

    def add(self, time: float, hands: HandPoses) -> None:
        """Remember what was measured at a time on the plant's clock [s], if that is news."""
        with self._lock:
            if self._entries and time <= self._entries[-1][0]:
                return
            self._entries.append((time, hands))
            while self._entries[0][0] < time - KEPT:
                self._entries.popleft()

    def at(self, time: float) -> HandPoses | None:
        """The hands at ``time``, between two entries by interpolation; None if nothing is known.

        Beyond the newest entry they go on for at most :data:`LATEST`.
        """
        with self._lock:
            entries = list(self._entries)
        if not entries or time < entries[0][0] - LATEST:
            return None
        times = [entry[0] for entry in entries]
        limited = min(max(time, times[0]), times[-1] + LATEST)
        after = int(np.searchsorted(times, limited))
        if after < len(times) and times[after] == limited:
            return entries[after][1]
        if len(entries) == 1:
            return entries[0][1]
        after = min(after, len(entries) - 1)
        start, end = times[after - 1], times[after]
        share = (limited - start) / (end - start)
        return entries[after - 1][1].towards(entries[after][1], share)

    def along(self, times: Array) -> tuple[Array, Array]:
        """Where the hands were and how wide at several times (k,): (k, N, 3) and (k, N) [m].

        Straight between two entries, at rest beyond the newest one, and NaN where nothing is known.
        """
        with self._lock:
            entries = list(self._entries)
        if not entries:
            return np.full((len(times), len(ARMS), 3), np.nan), np.full(
                (len(times), len(ARMS)), np.nan
            )
        known = np.array([time for time, _ in entries])
        # Positions and widths of each hand, in a row for each entry.
        rows = [np.column_stack((pair.poses[:, :3, 3], pair.widths)).ravel() for _, pair in entries]
        columns = [np.interp(times, known, column) for column in np.transpose(rows)]
        found = np.stack(columns, -1).reshape(len(times), -1, 4)
        found[times < known[0] - LATEST] = np.nan
        return found[..., :3], found[..., 3]
