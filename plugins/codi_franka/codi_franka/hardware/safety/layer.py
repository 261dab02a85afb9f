"""The last thing that commands pass on their way to the arms. It trusts neither planner nor caller.

Each period it takes the joint velocities that somebody wants, and what the arms report, and says
which velocities may be sent. These always keep within the limits of velocity, acceleration and
jerk, and such that both arms can come to rest before any bound:

1. What was read is checked. What isn't right brings both arms to rest.
2. What is wanted is scaled to the speed limits, and bent where it would take the arms' resting
   place, where they would be if they were stopped now, over a bound: a control barrier function
   (Ames et al., 2019) on the distance that is left there.
3. It becomes one period's motion, within the limits of the joints. If stopping after that would
   still end beyond a bound, an arm brakes instead. It could a period ago, so it can now.

Once asked to stop, or made to, it brings both arms to rest and stays at that until it is reset.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import ArrayLike, NDArray

from codi_core.errors import UsageError
from codi_franka.hardware.motion.limits import PUBLISHED, MotionLimits
from codi_franka.hardware.motion.shaping import Motion, Shaper
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.geometry import CellGeometry, Survey
from codi_franka.hardware.safety.readings import ArmChecks
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.safety.verdict import Reason, Rejection, Verdict
from codi_franka.robot.cell import ARMS

Array = NDArray[np.float64]

_AGREEING = 0.1
"""[s] In which the layer's idea of where the arms were sent adopts the arms' own."""
_AGREEING_OUTWARDS = 0.02
"""[s] Likewise for joints that say they are nearer to the end of their range: there they must be
slower."""
_OLDEST = 0.05
"""[s] The age of what an arm says about itself, at most."""
_LATEST = 0.05
"""[s] By which a command may have been late; where arms are after more, they have to say."""
_SWEEPS = 3
"""Over the bounds that want to bend a command: each may undo a little of what others did."""
_INSIDE = 1e-3
"""[m] Of a bound, arms must be able to come to rest,"""
_INSIDE_MOVING = 4e-3
"""[m s/rad] and so much further, for each rad/s: where they will is known that well."""
_CLOSER = 1e-6
"""[m] By which an arm that is beyond a bound may come to rest further beyond it: rounding."""
_ANY_SPEED = 1e6
"""[rad/s] Beyond any sense, but small enough to reckon with."""
_FLAT = 1e-4
"""[m²/rad²] Less than that, no joint changes the distance."""
_NOTABLE = 1e-3
"""[m/s, rad/s] A bend by less is not worth a word."""


class SafetyLayer:
    """Admits joint velocities for both arms, one set a period.

    Args:
        settings: how careful it is.
        period: between commands [s].

    Attributes:
        limits: of the joints, which follow from both.
        stop_reason: why it stops, or has stopped; None while it doesn't.
    """

    def __init__(self, settings: SafetySettings, period: float) -> None:
        self.settings, self.period = settings, period
        self.limits = MotionLimits.of(
            period, settings.stop_seconds, settings.margins, settings.speed
        )
        self.geometry = CellGeometry(settings)
        self._gains = np.array(
            [
                settings.approach_gain if bound.arm is not None else settings.separation_gain
                for bound in self.geometry.bounds
            ]
        )
        self.shaper = Shaper(self.limits)
        self.stop_reason: str | None = None
        self._checks: list[ArmChecks] = []
        self._motion: Motion | None = None
        self._wanted = np.zeros((len(ARMS), 7))
        self._survey: Survey | None = None
        self._asked: float | None = None
        self._sent = np.empty((0, len(ARMS), 7))

    def reset(self, readings: Sequence[ArmReading]) -> None:
        """Begin, or begin again after a stop, with arms that are at rest.

        Raises:
            UsageError: an arm reports what can't be, or moves.
        """
        checks = [ArmChecks(arm, self.settings, self.period) for arm in ARMS]
        for check, reading in zip(checks, readings, strict=True):
            for wrong in check(reading):
                raise UsageError(
                    f"the {wrong.arm} arm can't be started: {wrong.reason.value}, "
                    f"{wrong.value:g} where {wrong.limit:g} is the limit"
                )
        self._checks = checks
        self._motion = Motion.at_rest(np.stack([each.desired_positions for each in readings]))
        self._wanted = np.zeros_like(self._wanted)
        self._survey = self._surveyed(self._motion)
        self._sent = np.repeat(self._motion.position[None], round(_OLDEST / self.period) + 1, 0)
        self._asked = self.stop_reason = None

    @property
    def at_rest(self) -> bool:
        """Whether both arms have been told to stand, and to go on standing."""
        return self._now.resting

    @property
    def motion(self) -> Motion:
        """What the arms have been told to do, (2, 7)."""
        return self._now

    def stop(self, reason: str) -> None:
        """Bring both arms to rest, from the next period on, and admit nothing until a reset."""
        if self.stop_reason is None:
            self.stop_reason = reason

    def admit(
        self, wanted: ArrayLike, readings: Sequence[ArmReading], now: float | None = None
    ) -> Verdict:
        """What may be sent now.

        Args:
            wanted: (2, 7) joint velocities [rad/s]. They may be anything.
            readings: the latest of each arm.
            now: the arms' seconds [s]; None a period after the time before.
        """
        self._carry_on(now)
        found = self._check_readings(readings)
        velocities = self._check_wanted(wanted, found)
        if self.stop_reason is None and velocities is not None:
            self._motion = self._next(velocities, found)
        else:
            self._motion = self.shaper.to_rest(self._now)
        self._sent = np.concatenate((self._sent[1:], self._now.position[None]))
        return Verdict(self._now.velocity, tuple(found), self.stop_reason is not None)

    @property
    def _now(self) -> Motion:
        assert self._motion is not None
        return self._motion

    @property
    def _here(self) -> Survey:
        assert self._survey is not None
        return self._survey

    # -- what was read, and what is wanted --------------------------------------------------------

    def _carry_on(self, now: float | None) -> None:
        """If the command before has held for longer than a period, arms have gone further."""
        before, self._asked = self._asked, now
        if now is None or before is None or self._motion is None:
            return
        late = float(np.clip(now - before - self.period, -self.period, _LATEST))
        position = self._now.position + late * self._now.velocity
        self._motion = attrs.evolve(self._now, position=position)
        self._sent = np.concatenate((self._sent[:-1], position[None]))

    def _check_readings(self, readings: Sequence[ArmReading]) -> list[Rejection]:
        if self._motion is None:
            raise UsageError("the safety layer knows no arms yet: reset it with their readings")
        found: list[Rejection] = []
        for arm, (check, reading) in enumerate(zip(self._checks, readings, strict=True)):
            wrong = check(reading)
            found += wrong
            if check.fresh and not any(each.reason is Reason.READING for each in wrong):
                found += self._adopt(arm, reading.desired_positions)
        for each in found:
            self.stop(f"{each.arm} arm: {each.reason.value} {each.value:.3g}")
        return found

    def _adopt(self, arm: int, desired: Array) -> list[Rejection]:
        """Follow an arm's own idea of where it was sent, and say if it is another one.

        A message is some time old. So what it says is compared with all places where the arm was
        sent lately, and only what lies beyond them makes a difference.
        """
        sent = self._sent[:, arm]
        difference = desired - np.clip(desired, sent.min(0), sent.max(0))
        middle = (PUBLISHED.lowest + PUBLISHED.highest) / 2
        outwards = difference * (desired - middle) > 0.0
        seconds = np.where(outwards, _AGREEING_OUTWARDS, _AGREEING)
        shift = np.zeros_like(self._wanted)
        shift[arm] = np.minimum(1.0, self.period / seconds) * difference
        self._motion = attrs.evolve(self._now, position=self._now.position + shift)
        self._sent = self._sent + shift
        off, limit = float(np.abs(difference).max()), self.settings.sending
        return [Rejection(ARMS[arm], Reason.NOT_FOLLOWING, off, limit)] if off > limit else []

    def _check_wanted(self, wanted: ArrayLike, found: list[Rejection]) -> Array | None:
        try:
            velocities = np.array(wanted, dtype=np.float64)
        except (TypeError, ValueError):
            velocities = np.empty(0)
        if velocities.shape != self._wanted.shape or not np.isfinite(velocities).all():
            found.append(Rejection(None, Reason.COMMAND, float("nan"), 0.0))
            self.stop("the command was not finite")
            return None
        velocities = np.clip(velocities, -_ANY_SPEED, _ANY_SPEED)
        jumps = np.abs(velocities - self._wanted).max(-1) / self.period
        for arm in np.flatnonzero(jumps > PUBLISHED.acceleration):
            limit = PUBLISHED.acceleration
            found.append(Rejection(ARMS[arm], Reason.ACCELERATION, float(jumps[arm]), limit))
        self._wanted = velocities
        return velocities

    # -- one period's motion ----------------------------------------------------------------------

    def _next(self, wanted: Array, found: list[Rejection]) -> Motion:
        wanted = self._bent(self._turning_back(self._slowed(wanted, found), found), found)
        return self._kept_inside(self.shaper.towards(self._now, wanted), found)

    def _slowed(self, wanted: Array, found: list[Rejection]) -> Array:
        """Velocities within the speed limits; each arm's are scaled as a whole."""
        speeds = self.limits.joints.speed * np.array([[self._share(arm)] for arm in (0, 1)])
        shares = np.abs(wanted) / speeds
        for arm, joint in enumerate(shares.argmax(-1)):
            if shares[arm, joint] > 1.0:
                value, limit = float(abs(wanted[arm, joint])), float(speeds[arm, joint])
                reason = Reason.CONTACT if self._checks[arm].contact else Reason.SPEED
                found.append(Rejection(ARMS[arm], reason, value, limit))
        wanted = wanted / np.maximum(shares.max(-1, keepdims=True), 1.0)
        hands = self._here.hand_speeds(wanted)
        for arm, fast in enumerate(hands):
            limit = self.settings.hand_speed * self.settings.speed * self._share(arm)
            if fast > limit:
                wanted[arm] *= limit / fast
                found.append(Rejection(ARMS[arm], Reason.HAND_SPEED, float(fast), limit))
        return wanted

    def _turning_back(self, wanted: Array, found: list[Rejection]) -> Array:
        """Velocities with which joints can come to rest before their position limits."""
        bounded = np.clip(wanted, *self.shaper.velocity_bounds(self._now.position))
        excess = np.abs(wanted - bounded)
        for arm, joint in enumerate(excess.argmax(-1)):
            if excess[arm, joint] > _NOTABLE:
                value, limit = float(wanted[arm, joint]), float(bounded[arm, joint])
                found.append(Rejection(ARMS[arm], Reason.JOINT_LIMIT, value, limit))
        return bounded

    def _share(self, arm: int) -> float:
        return self.settings.contact_speed if self._checks[arm].contact else 1.0

    def _bent(self, wanted: Array, found: list[Rejection]) -> Array:
        """Velocities that bring no resting place over a bound."""
        settings, distances = self.settings, self._here.rest
        room = distances - settings.buffer - self._reserve()
        near = room * self._gains < settings.hand_speed
        if not near.any():
            return wanted
        slopes = self._here.slopes
        slowest = np.minimum(-self._gains * room, 0.0)
        bent = wanted.reshape(-1).copy()
        for _ in range(_SWEEPS):
            for bound in np.flatnonzero(near):
                slope = slopes[bound]
                missing = slowest[bound] - slope @ bent
                if missing > 0.0:
                    bent += slope * (missing / max(float(slope @ slope), _FLAT))
        missing = slowest - slopes @ wanted.reshape(-1)
        self._say(near & (missing > _NOTABLE), distances, found)
        return bent.reshape(wanted.shape)

    def _kept_inside(self, candidate: Motion, found: list[Rejection]) -> Motion:
        """The candidate, or braking for arms that couldn't stop before a bound any more."""
        # An arm that is beyond a bound already may stay there.
        least = np.minimum(self._here.now, self._here.rest)
        least = np.minimum(least, self._reserve()) - _CLOSER
        motion, braking = candidate, np.zeros(len(ARMS), dtype=bool)
        self._survey = self._surveyed(motion)
        while not braking.all():
            over = self._here.rest < least
            wrong = self.geometry.owners[over].any(0) & ~braking
            if not wrong.any():
                break
            self._say(over, self._here.rest, found)
            braking |= wrong
            motion = _chosen(braking[:, None], self.shaper.to_rest(self._now), candidate)
            self._survey = self._surveyed(motion)
        return motion

    def _reserve(self) -> Array:
        """How far inside of each bound arms must be able to come to rest, (C,) [m]."""
        speeds = np.abs(self._now.velocity).max(-1)
        reserve: Array = _INSIDE + _INSIDE_MOVING * (self.geometry.owners * speeds).max(-1)
        return reserve

    def _surveyed(self, motion: Motion) -> Survey:
        return self.geometry.survey(motion.position, self.shaper.rest_positions(motion))

    def _say(self, which: NDArray[np.bool_], distances: Array, found: list[Rejection]) -> None:
        bounds = self.geometry.bounds
        found += [bounds[each].rejection(float(distances[each])) for each in np.flatnonzero(which)]


def _chosen(which: NDArray[np.bool_], first: Motion, second: Motion) -> Motion:
    return Motion(
        np.where(which, first.position, second.position),
        np.where(which, first.velocity, second.velocity),
        np.where(which, first.acceleration, second.acceleration),
    )
