"""What a simulated cell tells about itself: where its cube is, and when a run is over."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_core.errors import PlantError
from codi_franka.hardware.clock import ArmClock
from codi_franka.vision.estimate import CubeEstimate

Array = NDArray[np.float64]
Address = tuple[str, int]

PATIENCE = 2.0
"""[s] Within which a cell must tell something."""


@attrs.frozen(eq=False)
class Told:
    """How a cell was at one of its milliseconds, world frame.

    Attributes:
        time: on the cell's own clock [s].
        pose: (7,) of the cube: position [m] and quaternion wxyz.
        twist: (6,) of the cube: linear [m/s] and angular velocity [rad/s].
        joints: (2, 7) of the arms [rad].
        widths: (2,) between the fingers [m].
        over: whether the cell wants the run to end.
    """

    time: float
    pose: Array
    twist: Array
    joints: Array
    widths: Array
    over: bool = False

    @classmethod
    def of(cls, message: dict[str, Any]) -> Told:
        """What a message says."""
        arrays = {
            name: np.array(message[name], float) for name in ("pose", "twist", "joints", "widths")
        }
        return cls(time=float(message["time"]), over=bool(message["over"]), **arrays)


class CellLink:
    """Hears what a cell tells, about 100 times a second of its own.

    Args:
        address: host and port where it does.

    Attributes:
        first: the first message.

    Raises:
        PlantError: nobody tells anything there.
    """

    def __init__(self, address: Address) -> None:
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.connect(address)
        self._link.settimeout(PATIENCE)
        self._link.send(b"{}")
        try:
            self.first = Told.of(json.loads(self._link.recv(65536)))
        except OSError as error:
            self._link.close()
            raise PlantError(
                f"nobody tells where the cube is at {address[0]}:{address[1]} ({error}): start "
                "the simulated cell, or name another `cube` to the driver"
            ) from error

    def messages(self) -> Iterator[Told]:
        """What is told from now on, until the link is closed."""
        while True:
            try:
                data = self._link.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return  # closed
            yield Told.of(json.loads(data))

    def close(self) -> None:
        """Hear nothing any more."""
        self._link.close()


class Newest:
    """The newest message of a cell, for whoever asks; listens in a thread of its own.

    Args:
        address: host and port where the cell tells.
        clock: seconds that the messages are stamped with as they come.

    Raises:
        PlantError: nobody tells anything there.
    """

    def __init__(self, address: Address, clock: ArmClock) -> None:
        self._link, self._seconds = CellLink(address), clock.seconds
        self._heard = (self._seconds(), self._link.first)
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._listen, name="the cell's truth", daemon=True)
        self._thread.start()

    def look(self) -> tuple[float, Told]:
        """When it came [s], and what it says."""
        return self._heard

    def wait(self, time: float, patience: float = PATIENCE) -> Told | None:
        """The first message from ``time`` [s] on the cell's clock; None if none comes.

        Args:
            time: on the cell's clock [s].
            patience: how long it is waited for [real s].
        """
        with self._came:
            there = self._came.wait_for(lambda: self._heard[1].time >= time, patience)
        return self._heard[1] if there else None

    def close(self) -> None:
        """Hear nothing any more."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _listen(self) -> None:
        for told in self._link.messages():
            with self._came:
                self._heard = (self._seconds(), told)
                self._came.notify_all()


class Witness:
    """Knows where a simulated cell's cube is, and so how far estimates are from there.

    Args:
        address: host and port where the cell tells.
        clock: the arms' seconds.

    Raises:
        PlantError: nobody tells anything there.
    """

    def __init__(self, address: Address, clock: ArmClock) -> None:
        self._newest = Newest(address, clock)

    @property
    def over(self) -> bool:
        """Whether the cell wants the run to end."""
        return self._newest.look()[1].over

    def events(self, estimate: CubeEstimate, now: float) -> dict[str, NDArray[np.generic]]:
        """How far an estimate is from the cube, and when, (1,) each.

        They are ``cube_error_m``, ``cube_error_rad``, and ``cell_time_s``, on the cell's own clock.

        Args:
            estimate: of one world.
            now: the arms' seconds that it is for [s].
        """
        heard, told = self._newest.look()
        since = max(0.0, now - heard)
        # A cube that is carried moves by millimetres between two messages.
        place = told.pose[:3] + since * told.twist[:3]
        same = min(1.0, abs(float(estimate.pose[3:] @ told.pose[3:])))
        return {
            "cube_error_m": np.array([np.linalg.norm(estimate.pose[:3] - place)]),
            "cube_error_rad": np.array([2 * np.arccos(same)]),
            "cell_time_s": np.array([told.time + since]),
        }

    def close(self) -> None:
        """Ask for nothing any more."""
        self._newest.close()
