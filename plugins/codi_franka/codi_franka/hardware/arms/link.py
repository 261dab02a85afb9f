"""What the driver asks of an arm and of a hand, whatever library speaks to them."""

from __future__ import annotations

from typing import Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.reading import ArmReading

Array = NDArray[np.float64]


class ArmError(Exception):
    """An arm does not move as it is told.

    Args:
        arm: its name.
        what: what it or its library says.
        lost: whether the connection is what is wrong; then recovering is of no use.
    """

    def __init__(self, arm: str, what: str, lost: bool = False) -> None:
        super().__init__(f"{arm} arm: {what}")
        self.arm, self.what, self.lost = arm, what, lost


class ArmLink(Protocol):
    """One arm. Its methods may wait for the arm, but for :meth:`told`.

    So whoever drives two calls them through an
    :class:`~codi_franka.hardware.arms.arm_worker.ArmWorker`.

    Attributes:
        name: of the arm.
        host: its address.
    """

    name: str
    host: str

    def read(self, now: float) -> ArmReading:
        """What the arm measures. Its time is when something new came from the arm at the latest.

        Args:
            now: what the plant's clock shows [s].

        Raises:
            ArmError: the connection is lost.
        """
        ...

    def told(self) -> float:
        """The arm's own time [s] when it was read last; returns at once."""
        ...

    def send(self, velocity: Array) -> None:
        """Approach joint velocities (7,) [rad/s], and come to rest if nothing is sent for a while.

        Raises:
            ArmError: the arm has stopped because of an error, or the connection is lost.
        """
        ...

    def errors(self) -> tuple[str, ...]:
        """The names of the errors that it has now."""
        ...

    def recover(self) -> bool:
        """Clear the arm's error; whether that was possible. The arm is at rest."""
        ...

    def close(self) -> None:
        """Come to rest and leave the arm alone."""
        ...


@attrs.frozen
class HandReading:
    """What a hand measures.

    Attributes:
        width: between the fingers [m].
        holds: whether it says that it holds something.
        most: how far it opens [m], as far as it knows: little before it was homed.
    """

    width: float
    holds: bool
    most: float


class HandLink(Protocol):
    """One hand. Its methods wait for the hand: only a thread of its own may call them."""

    def read(self) -> HandReading:
        """Measure."""
        ...

    def open(self) -> bool:
        """Open; whether it did."""
        ...

    def close_on_object(self) -> bool:
        """Close until something is between the fingers, and press; whether something is."""
        ...

    def home(self) -> bool:
        """Learn how far it opens; whether that worked."""
        ...
