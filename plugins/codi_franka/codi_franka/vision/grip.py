"""What the hands alone tell of a box: which of them holds it, and about where it is then."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codi_franka.robot.box import Box
from codi_franka.state import HELD_DISTANCE
from codi_franka.vision.hands import HandHistory
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.poses import exp, matrix

Array = NDArray[np.float64]

GROPED = 0.03
"""[m] By which a box that isn't seen may have been pushed further before a hand closes."""
NEAR = 0.2
"""[m] A hand that near to a box can hide it."""
_ABOVE = 1.1
"""A hand that is wider open than that share of the box's widest edge holds nothing."""
_CLOSING, _BACK = 0.2, 0.6
"""[s] For which fingers have been at rest where they hold what isn't seen, and how far back it is
looked where they closed."""
_AT_REST = 0.006
"""[m] Fingers that move by no more than that within that time are."""
_LOOK = 0.02
"""[s] Between two looks at a hand's past."""
_ALONG, _ACROSS, _SLANT, _AROUND = 0.3, 0.003, 0.1, 3.0
"""Spread of a box between fingers: along them and sideways, as a share of the longest edge; across,
where they touch it [m]; and turned [rad], against the fingers, and about the line between them."""


class Grip:
    """Watches the hands.

    Args:
        hands: where they were.
        box: what they may hold.
    """

    def __init__(self, hands: HandHistory, box: MarkedBox) -> None:
        self._hands = hands
        self._widths = Box(box.size).holding(above=_ABOVE)
        self._spread = (
            np.diag(np.square((_ALONG * max(box.size), _ACROSS, _ALONG * max(box.size)))),
            np.diag(np.square((_SLANT, _AROUND, _SLANT))),
        )

    def holds(self, arm: int, time: float) -> bool:
        """Whether a hand's fingers are as far apart as where they hold the box."""
        return bool(self._fit(self._hands.along(np.array([time]))[1][0, arm]))

    def let_go(self, arm: int, start: float, end: float) -> float | None:
        """When a hand that held the box opened, or closed further; None if it did neither.

        Args:
            arm: whose hand.
            start: from when on it is looked [s].
            end: until when [s].
        """
        times = np.append(np.arange(start, end, _LOOK), end)
        open_at = times[~self._fit(self._hands.along(times)[1][:, arm])]
        return float(open_at[0]) if len(open_at) else None

    def holder(self, place: Array, time: float, seen: float) -> tuple[int, float] | None:
        """The arm whose hand holds the box now, and since when [s]; None if none does.

        Args:
            place: (3,), where the box is, or was when a hand hid it [m].
            time: [s].
            seen: when it was seen there last [s]. Fingers that closed there afterwards hold it,
                wherever they are now; also if they closed only about there and came to rest.
        """
        hands = self._hands.at(time)
        if hands is None:
            return None
        away = np.linalg.norm(hands.poses[:, :3, 3] - place, axis=-1)
        times = time - np.arange(0, _BACK, _LOOK)
        places, widths = self._hands.along(times)
        for arm in map(int, np.argsort(away)):
            fit = self._fit(widths[:, arm])
            if not fit[0]:
                continue
            since = float(times[-1] if fit.all() else times[int(np.argmin(fit)) - 1])
            ways = np.linalg.norm(places[fit, arm] - place, axis=-1)
            about = HELD_DISTANCE + (GROPED if _resting(widths[:, arm], fit) else 0.0)
            if away[arm] < HELD_DISTANCE or (since > seen and np.nanmin(ways) < about):
                return arm, since
        return None

    def hides(self, place: Array, time: float) -> bool:
        """Whether a hand is so near to a place (3,) that it can hide the box."""
        hands = self._hands.at(time)
        if hands is None:
            return False
        return bool(np.linalg.norm(hands.poses[:, :3, 3] - place, axis=-1).min() < NEAR)

    def between(self, arm: int, time: float, pose: Array) -> tuple[Array, Array] | None:
        """Where a box must about be that a hand holds: a pose (4, 4) and its covariance (6, 6).

        Fingers close along the hand's y, and two faces lie against them.

        Args:
            arm: whose hand.
            time: [s].
            pose: (4, 4), where the box was believed to be; says which of its faces these are.
        """
        hands = self._hands.at(time)
        if hands is None:
            return None
        hand = hands.poses[arm]
        faces = pose[:3, :3].T @ hand[:3, 1]
        face = int(np.abs(faces).argmax())
        turn = exp(_turn(np.sign(faces[face]) * pose[:3, face], hand[:3, 1]))
        spread = np.zeros((6, 6))
        for part, block in zip((slice(3), slice(3, 6)), self._spread, strict=True):
            spread[part, part] = hand[:3, :3] @ block @ hand[:3, :3].T
        return matrix(turn @ pose[:3, :3], hand[:3, 3]), spread

    def _fit(self, widths: Array) -> NDArray[np.bool_]:
        """Whether fingers that far apart (...,) hold the box."""
        return (widths > self._widths[0]) & (widths < self._widths[1])


def _resting(widths: Array, fit: NDArray[np.bool_]) -> bool:
    """Whether fingers have been at rest for a while where they hold the box.

    Args:
        widths: (k,) between them, the newest first, every :data:`_LOOK` [m].
        fit: (k,) whether they hold it.
    """
    lately = np.arange(len(widths)) * _LOOK <= _CLOSING
    return bool(np.ptp(widths[lately]) <= _AT_REST and fit[lately].all())


def _turn(start: Array, end: Array) -> Array:
    """The rotation vector (3,) that takes one unit vector to another one the shortest way."""
    axis = np.cross(start, end)
    length = float(np.linalg.norm(axis))
    return np.asarray(axis * np.arctan2(length, start @ end) / max(length, 1e-9))
