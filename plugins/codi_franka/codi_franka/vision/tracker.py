"""Follows the cube over time: what is seen, held, hidden, moved by somebody, or lost.

What nobody holds lies on the table, and what a hand holds is between its fingers. That helps where
cameras don't: a hand that takes the cube hides it from most of them.

Poses come in with :meth:`CubeTracker.see`, their absence with :meth:`CubeTracker.miss`. What the
tracker knows at any time it says with :meth:`CubeTracker.estimate`, which changes nothing.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.vision.estimate import Cause, CubeEstimate, CubeStatus
from codi_franka.vision.fit import Fit
from codi_franka.vision.grip import Grip
from codi_franka.vision.hands import HandHistory
from codi_franka.vision.markers import CUBE, MarkedBox
from codi_franka.vision.motion import CubeMotion
from codi_franka.vision.poses import difference, to_pose

Array = NDArray[np.float64]


@attrs.frozen
class TrackerSettings:
    """When the tracker believes what.

    Attributes:
        predict_for: how long the motion is continued without pictures [s].
        stale_for: how long the last place is named after that [s]; then the cube is lost.
        hidden_for: likewise while one of the hands here hides it, under which nobody takes it away.
        fresh_for: how old a sighting may be to count as seen now [s].
        jump: a sighting that far from where the cube should be needs confirmation [m]; up to twice
            as far where that is uncertain.
        turn: or turned by that much [rad].
        surprise: or that many standard deviations away, if it isn't nearer than ``near``.
        near: nearer sightings are always believed [m].
        confirmations: sightings that agree before a jump, or a first pose, is believed.
        agree: how near to one another they are [m].
        moving: a free cube that vanishes at that speed was taken away [m/s].
        lifted: so was one that vanishes from the air, that far above where it can stand [m].
        lying: what nobody holds lies on the table if it isn't seen higher than that above it [m].
        flat: how well the table's height is known [m].
    """

    predict_for: float = 0.6
    stale_for: float = 3.0
    hidden_for: float = 12.0
    fresh_for: float = 0.25
    jump: float = 0.05
    turn: float = 0.6
    surprise: float = 6.0
    near: float = 0.01
    confirmations: int = 3
    agree: float = 0.02
    moving: float = 0.1
    lifted: float = 0.035
    lying: float = 0.01
    flat: float = 0.002


@attrs.define(eq=False)
class _Rumour:
    """A pose that contradicts what is believed, and how often it was seen."""

    time: float
    pose: Array
    covariance: Array
    count: int = 1


class CubeTracker:
    """The state of one cube; one thread at a time.

    Args:
        hands: where the hands were.
        box: what is tracked.
        settings: when it believes what.
    """

    def __init__(
        self,
        hands: HandHistory,
        box: MarkedBox = CUBE,
        settings: TrackerSettings | None = None,
    ) -> None:
        self._settings = settings or TrackerSettings()
        self._half = np.array(box.size) / 2
        self._grip, self._hands = Grip(hands, box), hands
        self._lifted = max(box.size) / 2 + self._settings.lifted
        self._motion: CubeMotion | None = None
        self._seen = -np.inf
        self._known = -np.inf
        self._holder: int | None = None
        self._rumour: _Rumour | None = None
        self._cause: Cause | None = Cause.HIDDEN

    def expected(self, time: float) -> Array | None:
        """Where the cube should be at ``time``, (4, 4); None if it is lost."""
        motion = self._at(time)
        if motion is None or self.estimate(time).status is CubeStatus.LOST:
            return None
        return motion.pose

    def see(self, time: float, fit: Fit) -> None:
        """Take in a pose that was seen at ``time``; one from before the last is left out.

        A weak one refines what is known, and never changes it.
        """
        if self._motion is None or not self.estimate(time).status.usable:
            self._doubt(time, fit)
            return
        if time < self._motion.time:
            return
        motion = self._advanced(time)
        if self._contradicts(motion, fit):
            self._doubt(time, fit)
            return
        motion.correct(fit.pose, fit.covariance)
        if self._holder is None:
            self._lay(motion)
        self._believe(time, motion)

    def miss(self, time: float, cause: Cause) -> None:
        """Take in that nothing was seen at ``time``, and why."""
        if self._motion is None:
            self._cause = cause
            return
        if time < self._motion.time:
            return
        if cause is Cause.HIDDEN and self._holder is None and self._vanished(time):
            cause = Cause.TAKEN
        taken_before = self._cause is Cause.TAKEN and cause is Cause.HIDDEN
        self._cause = Cause.TAKEN if taken_before else cause
        self._advanced(time)

    def estimate(self, time: float) -> CubeEstimate:
        """What is known about the cube at ``time``."""
        motion = self._at(time)
        if self._motion is None or motion is None:
            nowhere, unknown = np.full(7, np.nan), np.diag(np.full(6, np.inf))
            return CubeEstimate(
                -np.inf, nowhere, np.zeros(6), unknown, CubeStatus.LOST, self._cause
            )
        status = self._status(time)
        if self._holder is None and (grasped := self._grasped(self._motion, time)) is not None:
            # A hand has closed on it since the last picture.
            motion, status = grasped[0], CubeStatus.HELD
        if status in (CubeStatus.STALE, CubeStatus.LOST):
            motion.rest()
        seen = status is CubeStatus.SEEN
        return CubeEstimate(
            time=time if status is CubeStatus.HELD else self._known,
            pose=to_pose(motion.pose),
            twist=motion.twist,
            covariance=motion.covariance[:6, :6],
            status=status,
            cause=None if seen else self._cause,
        )

    @property
    def holder(self) -> int | None:
        """The number of the arm whose gripper holds the cube."""
        return self._holder

    def _status(self, time: float) -> CubeStatus:
        settings = self._settings
        if self._holder is not None and self._grip.holds(self._holder, time):
            return CubeStatus.HELD
        age = time - self._known
        if self._rumour is None and time - self._seen <= settings.fresh_for and not self._cause:
            return CubeStatus.SEEN
        if age > settings.predict_for + self._patience(time):
            return CubeStatus.LOST
        if self._cause is Cause.TAKEN and age > settings.predict_for:
            return CubeStatus.LOST
        doubted = self._cause in (Cause.JUMPED, Cause.DISAGREE)
        return CubeStatus.STALE if doubted or age > settings.predict_for else CubeStatus.PREDICTED

    def _patience(self, time: float) -> float:
        """How long the last place is named [s]."""
        assert self._motion is not None
        hidden = self._cause is Cause.HIDDEN and self._grip.hides(self._motion.pose[:3, 3], time)
        return self._settings.hidden_for if hidden else self._settings.stale_for

    def _at(self, time: float) -> CubeMotion | None:
        """The state at ``time``, as a copy."""
        return None if self._motion is None else self._continued(self._motion, time)[0]

    def _continued(self, motion: CubeMotion, time: float) -> tuple[CubeMotion, bool]:
        """A state at ``time``, as a copy, and whether the hand that held it still does."""
        motion, held = motion.copy(), False
        if self._holder is not None:
            held = self._carry(motion, self._holder, time)
        # Beyond the prediction it stays where it is; the spread must not grow without end.
        motion.coast(min(time, max(self._known + self._settings.predict_for, motion.time)))
        if self._holder is None:
            self._lay(motion)
        return motion, held

    def _carry(self, motion: CubeMotion, arm: int, time: float) -> bool:
        """Go on to ``time`` with a hand, or to when it lets go of the cube; whether it does not."""
        let_go = self._grip.let_go(arm, motion.time, time)
        until = time if let_go is None else let_go
        before, after = self._hands.at(motion.time), self._hands.at(until)
        if before is not None and after is not None:
            motion.carry(until, before.poses[arm], after.poses[arm])
        if let_go is not None:
            motion.let_go(self._lowest(motion))
        return let_go is None

    def _advanced(self, time: float) -> CubeMotion:
        """Go on to ``time``, and see whether a hand holds the cube, or has let go of it."""
        assert self._motion is not None
        motion, held = self._continued(self._motion, time)
        if held:
            self._known = time
        else:
            loose = self._motion if self._holder is None else motion
            self._holder = None
            motion = self._in_hand(loose, time) or motion
        motion.time = max(time, motion.time)  # also where nothing is continued any more
        self._motion = motion
        return motion

    def _in_hand(self, motion: CubeMotion, time: float) -> CubeMotion | None:
        """The state at ``time`` if a hand holds the cube then, which is noted."""
        grasped = self._grasped(motion, time)
        if grasped is None:
            return None
        self._holder = grasped[1]
        return grasped[0]

    def _grasped(self, motion: CubeMotion, time: float) -> tuple[CubeMotion, int] | None:
        """The state at ``time`` and the arm whose hand has closed on the cube; None if none has.

        Args:
            motion: of a cube that nobody held, at ``time`` or before.
            time: [s].
        """
        # Fingers that close about there hold also what has been hidden for too long.
        if not (self._status(time).usable or self._cause is Cause.HIDDEN):
            return None
        found = self._grip.holder(motion.pose[:3, 3], time, self._seen)
        if found is None:
            return None
        arm, since = found
        start = max(since, motion.time)
        held, _ = self._continued(motion, start)
        between = self._grip.between(arm, start, held.pose)
        before, after = self._hands.at(start), self._hands.at(time)
        if between is None or before is None or after is None:
            return None
        held.correct(*between)  # between fingers there is not much room
        held.carry(time, before.poses[arm], after.poses[arm])
        return held, arm

    def _lay(self, motion: CubeMotion) -> None:
        """Put what nobody holds on the table, where it is about there, or below."""
        lowest = self._lowest(motion)
        if motion.pose[2, 3] < lowest + self._settings.lying:
            motion.correct_height(lowest, self._settings.flat)

    def _lowest(self, motion: CubeMotion) -> float:
        """How high the centre is where the box touches the table [m]."""
        return float(np.abs(motion.pose[2, :3]) @ self._half)

    def _contradicts(self, motion: CubeMotion, fit: Fit) -> bool:
        step, deviations = motion.surprise(fit.pose, fit.covariance)
        away, turned = float(np.linalg.norm(step[:3])), float(np.linalg.norm(step[3:]))
        settings = self._settings
        uncertain = 3 * float(np.sqrt(np.trace(motion.covariance[:3, :3] + fit.covariance[:3, :3])))
        if away > settings.jump + min(uncertain, settings.jump) or turned > settings.turn:
            return True
        return away > settings.near and deviations > settings.surprise

    def _doubt(self, time: float, fit: Fit) -> None:
        if fit.weak:
            self.miss(time, Cause.HIDDEN)
        else:
            self._consider(time, fit)

    def _consider(self, time: float, fit: Fit) -> None:
        """Something was seen where the cube isn't believed to be."""
        rumour = self._rumour
        if rumour is not None and time <= rumour.time:
            return
        if rumour is None or self._disagree(rumour, time, fit):
            self._rumour = _Rumour(time, fit.pose, fit.covariance)
        else:
            self._rumour = _Rumour(time, fit.pose, fit.covariance, rumour.count + 1)
        if self._motion is not None:
            self._cause = Cause.JUMPED
        if self._rumour.count >= self._settings.confirmations:
            self._holder = None
            self._believe(time, CubeMotion(time, fit.pose, fit.covariance))

    def _disagree(self, rumour: _Rumour, time: float, fit: Fit) -> bool:
        step = difference(fit.pose, rumour.pose)
        walked = min(time - rumour.time, self._settings.predict_for)
        uncertain = 3 * float(np.sqrt(np.trace(rumour.covariance[:3, :3] + fit.covariance[:3, :3])))
        reach = self._settings.agree + uncertain + 0.5 * walked
        return bool(
            np.linalg.norm(step[:3]) > reach or np.linalg.norm(step[3:]) > self._settings.turn
        )

    def _believe(self, time: float, motion: CubeMotion) -> None:
        self._motion, self._rumour, self._cause = motion, None, None
        self._seen = self._known = time
        if self._holder is None:
            self._motion = self._in_hand(motion, time) or motion

    def _vanished(self, time: float) -> bool:
        """Whether a cube that nobody here holds was on its way, or in the air, when last seen."""
        assert self._motion is not None
        if self._cause is not None or time - self._seen > 2 * self._settings.fresh_for:
            return False
        if self._grip.hides(self._motion.pose[:3, 3], time):
            return False
        speed = float(np.linalg.norm(self._motion.twist[:3]))
        height = float(self._motion.pose[2, 3])
        return speed > self._settings.moving or height > self._lifted
