r"""From wanted joint velocities to ones that keep within all limits and can always come to rest.

A command says which velocity to have one period later; in between the acceleration is constant.
Each period the acceleration a is chosen anew, by at most a *step* different from the one before:

- towards the wanted velocity as fast as the limits allow without passing it. With the difference e,
  the period T and the jerk j = step / T that is :math:`a = e / T` near it, and
  :math:`a = \sqrt{2 j e} - j T / 2` further away, up to the limit: from there, steps of the
  acceleration down to zero end at the wanted velocity.
- All joints of an arm share one such law, of the joint that is furthest from what it should do, and
  the others do the same share of their ways: the arm's motion keeps its direction.
- Then each joint by itself is held to accelerations after which it can still come to rest before
  its position limit, and under the curve of its velocity limit on the way there.

Everything is batched over leading dimensions, and an arm's numbers don't depend on other arms'.
"""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.motion.limits import MotionLimits

Array = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_RESERVE = 2e-3
"""[rad] For what the closed form of braking leaves out: ramps that end it, and whole periods."""
_CHOICES = np.linspace(-1.0, 1.0, 17)
"""Changes of the acceleration that are tried, in steps, where the best one isn't allowed."""
_TINY = 1e-12


@attrs.frozen(eq=False)
class Motion:
    """What arms have been told to do.

    Attributes:
        position: (..., 7) [rad].
        velocity: (..., 7) [rad/s].
        acceleration: (..., 7) of the last period [rad/s²].
    """

    position: Array
    velocity: Array
    acceleration: Array

    @classmethod
    def at_rest(cls, position: Array) -> Motion:
        """Arms that stand at positions (..., 7) [rad]."""
        return cls(position, np.zeros_like(position), np.zeros_like(position))

    @property
    def resting(self) -> bool:
        """Whether nothing moves, or is about to."""
        return not (self.velocity.any() or self.acceleration.any())


class Shaper:
    """Advances motions period by period.

    Args:
        limits: what they keep to.
    """

    def __init__(self, limits: MotionLimits) -> None:
        self.limits = limits

    def towards(self, motion: Motion, wanted: Array) -> Motion:
        """One period on the way to velocities (..., 7) [rad/s], which must be finite."""
        return self._advance(motion, self._fitting(motion, wanted), self.limits.acceleration)

    def to_rest(self, motion: Motion) -> Motion:
        """One period on the way to rest."""
        return self._advance(motion, np.zeros_like(motion.velocity), self.limits.braking)

    def rest_positions(self, motion: Motion) -> Array:
        """Where arms come to rest if they are stopped now, (..., 7) [rad], to some mrad.

        A stop turns the acceleration until it is against the velocity, keeps it as long as there is
        velocity enough, and lets it go. Limits of position, which shorten the way, are left out.
        """
        jerk = self.limits.jerk
        speed = _largest(motion.velocity)
        fastest = np.abs(motion.velocity).argmax(-1, keepdims=True)
        along = np.take_along_axis(motion.acceleration, fastest, -1)
        # The largest deceleration: what a short stop gets to, if not the limit.
        most = np.minimum(self.limits.braking, np.sqrt(jerk * speed + along**2 / 2))
        turned = -motion.velocity * (most / np.maximum(speed, _TINY))
        seconds = _largest(turned - motion.acceleration) / jerk
        way = seconds * (motion.velocity + seconds * (motion.acceleration / 3 + turned / 6))
        velocity = motion.velocity + seconds / 2 * (motion.acceleration + turned)
        left, last = _largest(velocity), most**2 / (2 * jerk)
        long = (left**2 - last**2) / (2 * np.maximum(most, _TINY)) + last * most / (3 * jerk)
        short = left * np.sqrt(2 * left / jerk) / 3
        way = way + velocity / np.maximum(left, _TINY) * np.where(left > last, long, short)
        # The first change comes at once, not little by little over a period.
        return motion.position + way - self.limits.period / 2 * motion.velocity

    def velocity_bounds(self, positions: Array) -> tuple[Array, Array]:
        """The lowest and the highest velocity (..., 7) [rad/s] that may be wanted at positions."""
        joints = self.limits.joints
        lowest, highest = joints.velocity_bounds(positions)

        def stoppable(left: Array) -> Array:
            return np.sqrt(2 * self.limits.acceleration * np.maximum(left - _RESERVE, 0.0))

        return (
            np.maximum(lowest, -stoppable(positions - joints.lowest)),
            np.minimum(highest, stoppable(joints.highest - positions)),
        )

    def _fitting(self, motion: Motion, wanted: Array) -> Array:
        """Velocities within the limits; each arm's are scaled as a whole and keep direction."""
        share = _largest(wanted / self.limits.joints.speed)
        return np.clip(wanted / np.maximum(share, 1.0), *self.velocity_bounds(motion.position))

    def _advance(self, motion: Motion, wanted: Array, highest: float) -> Motion:
        period, step = self.limits.period, self.limits.step
        left = wanted - motion.velocity
        furthest = _largest(left)
        desired = left * (self._law(furthest, highest) / np.maximum(furthest, _TINY))
        change = desired - motion.acceleration
        change = change / np.maximum(_largest(change) / step, 1.0)
        acceleration = self._held(motion, motion.acceleration + change)
        velocity = motion.velocity + period * acceleration
        # Rounding must not keep an arm from being quite at rest.
        velocity = np.where(np.abs(velocity) < _TINY, 0.0, velocity)
        position = motion.position + period / 2 * (motion.velocity + velocity)
        return Motion(position, velocity, acceleration)

    def _law(self, left: Array, highest: float) -> Array:
        """The acceleration [rad/s²] for a velocity that is so far off [rad/s], not negative."""
        period, step = self.limits.period, self.limits.step
        far = np.sqrt(2 * self.limits.jerk * left) - step / 2
        law: Array = np.minimum(np.where(left < step * period / 2, left / period, far), highest)
        return law

    # -- limits of each joint ---------------------------------------------------------------------

    def _held(self, motion: Motion, acceleration: Array) -> Array:
        """Accelerations (..., 7) after which all joints can still come to rest in time."""
        # Both sides at once: the lower limits are upper ones of the mirrored joint.
        safe = self._safe(motion, np.stack((acceleration, -acceleration)))
        wrong = ~safe.all(0).all(-1)
        if wrong.any():
            acceleration = acceleration.copy()
            fields = (motion.position, motion.velocity, motion.acceleration)
            some = Motion(*(field[wrong] for field in fields))
            acceleration[wrong] = self._clamped(some, acceleration[wrong])
        return acceleration

    def _clamped(self, motion: Motion, acceleration: Array) -> Array:
        """The nearest accelerations (n, 7) after which all joints can come to rest in time."""
        tried = motion.acceleration + self.limits.step * _CHOICES.reshape(-1, 1, 1)
        tried = np.clip(tried, -self.limits.braking, self.limits.braking)
        safe = self._safe(motion, np.stack((tried, -tried)))
        # The less a joint accelerates towards a limit, the safer it is.
        highest = np.where(safe[0], tried, tried[0]).max(0)
        lowest = np.where(safe[1], tried, tried[-1]).min(0)
        held: Array = np.minimum(np.maximum(acceleration, lowest), np.maximum(highest, lowest))
        return held

    def _safe(self, motion: Motion, tried: Array) -> Booleans:
        """Whether joints can stop before the upper and the lower limits: (2, ..., 7) booleans.

        Args:
            motion: now.
            tried: (2, ..., 7) accelerations of the next period, of the joints and mirrored.
        """
        limits, joints = self.limits, self.limits.joints
        shape = (2, *[1] * (tried.ndim - 2), 7)
        end = np.stack((joints.highest, -joints.lowest)).reshape(shape) - _RESERVE
        curve_end = np.stack((joints.envelope_highest, -joints.envelope_lowest)).reshape(shape)
        sign = np.array((1.0, -1.0)).reshape(2, *[1] * (tried.ndim - 1))
        before = sign * motion.velocity
        velocity = before + limits.period * tried
        position = sign * motion.position + limits.period / 2 * (before + velocity)
        # The velocity rises until the acceleration is gone, in steps from the next period on.
        still = np.maximum(tried - limits.step / 2, 0.0) ** 2 / (2 * limits.jerk)
        highest = velocity + np.where(tried > limits.step, still, 0.0)
        peak = np.maximum(tried, 0.0) / limits.jerk
        # It falls ever faster until the deceleration is at its limit, or until it is at zero.
        root = np.sqrt(np.maximum(tried**2 + 2 * limits.jerk * np.maximum(velocity, 0.0), 0.0))
        full = np.maximum(tried + limits.braking, 0.0) / limits.jerk
        turned = np.minimum(full, np.maximum(tried + root, 0.0) / limits.jerk)

        def place(seconds: Array) -> Array:
            moved = velocity + seconds * (tried / 2 - limits.jerk * seconds / 6)
            return position + seconds * moved

        fast = velocity + turned * (tried - limits.jerk * turned / 2)
        there = place(turned)
        allowed: Booleans = there + np.maximum(fast, 0.0) ** 2 / (2 * limits.braking) <= end
        # A joint that is beyond its limit may stay there, or come back.
        allowed |= highest <= _TINY
        for speed, where in ((velocity, position), (highest, place(peak)), (fast, there)):
            allowed &= speed <= joints.curve(curve_end - where) + _TINY
        return allowed


def _largest(values: Array) -> Array:
    """The largest magnitude of each arm: (..., 7) to (..., 1)."""
    largest: Array = np.abs(values).max(-1, keepdims=True)
    return largest
