"""Where the plant gets to know where the cube is."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from codi_franka.geometry import quaternion_exp, quaternion_multiply
from codi_franka.hardware.clock import ArmClock
from codi_franka.hardware.simulated_cell import Address, CellLink, Told
from codi_franka.robot.box import CUBE, Box
from codi_franka.vision.estimate import CubeEstimate, CubeStatus

if TYPE_CHECKING:  # it needs codi-franka[vision]
    from codi_franka.vision.measured import MeasuredErrors

Array = NDArray[np.float64]

STALE, GONE = 0.5, 5.0
"""[s] After which an estimate of the peer's truth is stale, and after which the cube is lost."""
_CONTINUED = 0.3
"""[s] For which a cube's motion is continued: an estimate that is late, and one that is missing."""


@attrs.frozen(eq=False)
class Hands:
    """What a tracker needs to know of the hands: a held cube moves with its hand.

    Attributes:
        positions: (2, 3) of the TCPs, world frame [m].
        rotations: (2, 3, 3) of the hands in the world frame.
        widths: (2,) [m].
        closed: (2,) booleans, whether each hand was told to close.
    """

    positions: Array
    rotations: Array
    widths: Array
    closed: NDArray[np.bool_]


class CubeSource(Protocol):
    """Tells where the cube is."""

    on_hands: bool
    """Whether it sees only what hands point at."""

    def estimate(self, now: float, hands: Hands) -> CubeEstimate:
        """Where the cube is at a time; returns at once.

        Args:
            now: the arms' seconds (:class:`ArmClock`), not before what was asked for last.
            hands: where the hands are then.
        """
        ...

    def close(self) -> None:
        """Ask for nothing any more."""
        ...


class PeerCube:
    """A simulated cell's own word for where its cube is, as the project's tracker would see it.

    Args:
        address: host and port where the cell tells the truth.
        errors: of a sighting, and how late and rare they are.
        clock: the arms' seconds.
        seed: of what is random.
        box: what stands for the cube.

    Raises:
        PlantError: nobody tells anything there.
    """

    on_hands = False

    def __init__(
        self,
        address: Address,
        errors: MeasuredErrors,
        clock: ArmClock,
        seed: int = 0,
        box: Box = CUBE,
    ) -> None:
        self._box = box
        self._errors, self._seconds = errors, clock.seconds
        self._random = np.random.default_rng(seed)
        self._seen: CubeEstimate | None = None
        self._due = -float("inf")
        self._link = CellLink(address)
        self._take(self._link.first)
        self._thread = threading.Thread(target=self._listen, name="the cube's truth", daemon=True)
        self._thread.start()

    def estimate(self, now: float, hands: Hands) -> CubeEstimate:
        """Where the cube is."""
        assert self._seen is not None
        seen, twist = self._seen, self._seen.twist
        age = self._seconds() - seen.time
        status = CubeStatus.SEEN
        if age > STALE:
            status = CubeStatus.LOST if age > GONE else CubeStatus.STALE
        lying = float(self._box.lying(torch.from_numpy(seen.pose[3:])))
        lowest, pose = min(seen.pose[2], lying), seen.pose.copy()
        pose[:3] += twist[:3] * min(age, _CONTINUED)
        pose[2] = max(pose[2], lowest)  # what falls is stopped by the table
        pose[3:] = _turned(pose[3:], twist[3:] * min(age, _CONTINUED))
        return attrs.evolve(seen, time=now - age, pose=pose, status=status)

    def close(self) -> None:
        """Hear nothing any more."""
        self._link.close()

    def _listen(self) -> None:
        pending: deque[tuple[float, Told]] = deque()
        for told in self._link.messages():
            pending.append((self._seconds(), told))
            while pending and self._seconds() - pending[0][0] >= self._errors.delay:
                self._take(pending.popleft()[1])

    def _take(self, told: Told) -> None:
        """Take in what was told, if an estimate is due."""
        if told.time < self._due:
            return
        self._due = told.time + self._errors.period
        when, exact = self._seconds() - self._errors.delay, np.zeros((6, 6))
        true = CubeEstimate(when, told.pose, told.twist, exact, CubeStatus.SEEN)
        self._seen = self._errors.disturb(true, self._random) or self._seen or true


def _turned(quaternion: Array, rotation: Array) -> Array:
    """A quaternion wxyz turned by a rotation vector [rad], world frame."""
    turn = quaternion_exp(torch.from_numpy(rotation))
    turned: Array = quaternion_multiply(turn, torch.from_numpy(quaternion)).numpy()
    return turned / np.linalg.norm(turned)
