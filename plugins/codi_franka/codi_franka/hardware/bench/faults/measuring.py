"""From what passed the network, and what the safety layer saw, to when arms were at rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.bench.faults.network import STATE_ROW
from codi_franka.hardware.bench.faults.site import Period

Array = NDArray[np.float64]

REFLEX = 4
"""The mode of a robot that has stopped by itself."""
MOVING = 0.03
"""[rad/s] What moves faster does not stand."""
AROUND = 0.3
"""[s] Before and after a stop in which an arm's own one may be its reason, or follow from that."""
_SPAN = 20
"""[messages] Over which a speed is the difference of positions."""
_STAYS = 100
"""[messages] For which what stands must stay so."""


@attrs.frozen(eq=False)
class Track:
    """What an arm did, as it told itself once a millisecond.

    Attributes:
        real: when it was told [s].
        seconds: likewise on the arm's clock [s].
        speed: of its fastest joint [rad/s].
        tripped: whether it has stopped by itself, and its error is not cleared.
    """

    real: Array
    seconds: Array
    speed: Array
    tripped: NDArray[np.bool_]

    @classmethod
    def read(cls, folder: Path, arm: int) -> Track:
        """From the network's record."""
        data = np.fromfile(folder / f"states-{arm}.f64")
        rows = data[: len(data) // STATE_ROW * STATE_ROW].reshape(-1, STATE_ROW)
        begins = np.flatnonzero(np.diff(rows[:, 1]) < 0) + 1
        seconds = rows[:, 1] / 1000
        for begin in begins:  # the arm counts from 0 with each connection
            seconds[begin:] += seconds[begin - 1] - seconds[begin] + 0.001
        moved = np.abs(rows[_SPAN:, 3:10] - rows[:-_SPAN, 3:10]).max(-1)
        speed = moved / np.maximum(seconds[_SPAN:] - seconds[:-_SPAN], 1e-3)
        half = _SPAN // 2
        kept = rows[half:-half]
        return cls(kept[:, 0], seconds[half:-half], speed, kept[:, 2] == REFLEX)

    @property
    def pace(self) -> float:
        """Real seconds that one of the arm's took."""
        return float(np.ptp(self.real) / max(np.ptp(self.seconds), 1e-3))

    @property
    def trips(self) -> int:
        """How often it stopped by itself."""
        return int((np.diff(self.tripped.astype(int)) > 0).sum())

    def at(self, real: float) -> float:
        """The arm's seconds at a moment [s]."""
        return float(np.interp(real, self.real, self.seconds))

    def rest_after(self, real: float, until: float = np.inf) -> float | None:
        """How long after a moment it stands [s]; None if it doesn't up to another moment."""
        within = (self.real >= real) & (self.real <= until)
        first = _first_lasting(self.speed[within] <= MOVING, _STAYS)
        if first is None:
            return None
        return max(0.0, float(self.seconds[within][first]) - self.at(real))

    def tripped_around(self, real: float) -> bool:
        """Whether it has stopped by itself by a moment, or a little later."""
        seconds = self.at(real)
        near = (self.seconds > seconds - AROUND) & (self.seconds < seconds + AROUND)
        return bool(self.tripped[near].any())

    def trip_after(self, real: float) -> float | None:
        """When it first stops by itself after a moment [s], as real seconds."""
        when = self.real[(self.real >= real) & self.tripped]
        return float(when[0]) if len(when) else None


def _first_lasting(which: NDArray[np.bool_], count: int) -> int | None:
    """Where the first run of so many begins, or one that lasts to the end."""
    begin = None
    for place, good in enumerate(which):
        if not good:
            begin = None
        elif begin is None:
            begin = place
        if begin is not None and (place - begin >= count or place == len(which) - 1):
            return begin
    return None


@attrs.frozen
class Stop:
    """One time when both arms had to stand.

    Attributes:
        began: when that was found [s], ``time.monotonic()``.
        ended: when they were to move again [s]; infinite if they weren't.
        speed: of the fastest joint when it began [rad/s].
    """

    began: float
    ended: float
    speed: float


def stops(periods: Sequence[Period]) -> list[Stop]:
    """All times when both arms had to stand, and moved when that began."""
    found, before = [], None
    for number, period in enumerate(periods):
        if period.standing and before is not None and not before.standing:
            again = (later.real for later in periods[number:] if not later.standing)
            ended = next(again, np.inf)
            found.append(Stop(period.real, ended, max(before.speeds)))
        before = period
    return [stop for stop in found if stop.speed > MOVING]
