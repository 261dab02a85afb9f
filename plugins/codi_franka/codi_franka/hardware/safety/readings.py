"""Checks of what arms report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codi_franka.hardware.motion.limits import PUBLISHED
from codi_franka.hardware.reading import ArmReading
from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.safety.verdict import Reason, Rejection

Array = NDArray[np.float64]

_BEYOND = 0.05
"""[rad] By which a measured position may be beyond its limit: an arm can be pushed there."""
_FASTER = 1.3
"""The share of the highest speed up to which a measured one can be true."""


class ArmChecks:
    """Checks the reports of one arm, one a period.

    Args:
        arm: its name.
        settings: the thresholds.
        period: between reports [s].

    Attributes:
        contact: whether something pushes the hand.
        fresh: whether the latest reading was new.
    """

    def __init__(self, arm: str, settings: SafetySettings, period: float) -> None:
        self.arm, self.settings, self.period = arm, settings, period
        self._torques = np.array(settings.stop_torques)
        self.contact = self.fresh = False
        self._latest = -np.inf
        self._unchanged = self._pushed = self._strained = 0

    def __call__(self, reading: ArmReading) -> list[Rejection]:
        """What is wrong with a reading, and calls for a stop."""
        wrong = self._impossible(reading)
        if wrong:
            return wrong
        return [*self._age(reading), *self._load(reading), *self._obedience(reading)]

    def _impossible(self, reading: ArmReading) -> list[Rejection]:
        seven = (reading.joint_positions, reading.joint_velocities, reading.desired_positions)
        numbers = (*seven, reading.joint_torques, reading.force, np.asarray(reading.time))
        shapes = [np.shape(value) for value in numbers]
        if shapes != [(7,)] * 4 + [(3,), ()] or not all(
            np.isfinite(value).all() for value in numbers
        ):
            return [self._reject(Reason.READING, np.nan, 0.0)]
        beyond = max(
            (reading.joint_positions - PUBLISHED.highest).max(),
            (PUBLISHED.lowest - reading.joint_positions).max(),
        )
        if beyond > _BEYOND:
            return [self._reject(Reason.READING, beyond, _BEYOND)]
        share = (np.abs(reading.joint_velocities) / PUBLISHED.speed).max()
        return [self._reject(Reason.READING, share, _FASTER)] if share > _FASTER else []

    def _age(self, reading: ArmReading) -> list[Rejection]:
        # Counted in periods: a reading's own clock can't be trusted to go on.
        self.fresh = reading.time > self._latest
        self._unchanged = 0 if self.fresh else self._unchanged + 1
        self._latest = max(self._latest, reading.time)
        age = self._unchanged * self.period
        limit = self.settings.stale_seconds
        return [self._reject(Reason.STALE, age, limit)] if age > limit else []

    def _load(self, reading: ArmReading) -> list[Rejection]:
        force = float(np.linalg.norm(reading.force))
        strain = np.abs(reading.joint_torques) / self._torques
        worst = int(strain.argmax())
        self._pushed = self._pushed + 1 if force > self.settings.stop_force else 0
        self._strained = self._strained + 1 if strain[worst] > 1.0 else 0
        lower, upper = self.settings.contact_over, self.settings.contact_force
        self.contact = force > (lower if self.contact else upper)
        found = []
        if self._lasts(self._pushed):
            found.append(self._reject(Reason.FORCE, force, self.settings.stop_force))
        if self._lasts(self._strained):
            torque, limit = abs(reading.joint_torques[worst]), self._torques[worst]
            found.append(self._reject(Reason.TORQUE, torque, limit))
        return found

    def _lasts(self, periods: int) -> bool:
        return periods > 0 and periods * self.period >= self.settings.push_seconds

    def _obedience(self, reading: ArmReading) -> list[Rejection]:
        off = float(np.abs(reading.joint_positions - reading.desired_positions).max())
        limit = self.settings.following
        return [self._reject(Reason.NOT_FOLLOWING, off, limit)] if off > limit else []

    def _reject(self, reason: Reason, value: float, limit: float) -> Rejection:
        return Rejection(self.arm, reason, float(value), float(limit))
