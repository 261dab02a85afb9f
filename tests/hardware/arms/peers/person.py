"""Somebody who puts the cube back to the left side whenever an attempt is over."""

from __future__ import annotations

import numpy as np

DELIVERED = 0.15
"""[m] From the goal, as the task's success has it."""
FALLEN = -0.05
ATTEMPT = 60.0
"""[s] After which an attempt has failed."""
PAUSE = 1.0
"""[s] Between the end of an attempt and the next one."""
STILL = 0.01
"""[m/s]"""
LYING = 0.025
"""[m] A centre that much higher than where it can lie is in the air."""
MOVED = 0.01
"""[m] The first attempt begins when a hand has moved so far."""
CLEAR = 0.2
"""[m] How far hands must be from where the cube is put."""


class Person:
    """Watches the cube; moves it through the simulation alone.

    Args:
        setup: has the goal and the places.
        cube: the cube.
        log: told what happens.
    """

    def __init__(self, setup, cube, log) -> None:
        self.goal, self.places = np.array(setup.goal), list(setup.places)
        self.cube, self.log, self.attempts = cube, log, setup.attempts
        # However it lies, its centre is lower than that; in a hand it is higher.
        self.low = max(setup.size) + LYING
        self.began = 0.0
        self.home: np.ndarray | None = cube.hands()
        self.over: float | None = None
        self.attempt, self.deliveries = 0, 0

    @property
    def done(self) -> bool:
        """Whether as many attempts have ended as were asked for."""
        return 0 < self.attempts <= self.attempt + (self.over is not None)

    def look(self, now: float) -> None:
        """Ten times a second or more."""
        if self.home is not None:
            if np.linalg.norm(self.cube.hands() - self.home, axis=1).max() < MOVED:
                self.began = now  # whoever drives the arms is still getting ready
                return
            self.home = None
        if self.over is not None:
            if now > self.over + PAUSE:
                self._put_back(now)
            return
        position = self.cube.pose[:3]
        near = np.linalg.norm(position[:2] - self.goal) <= DELIVERED and position[2] < self.low
        still = np.linalg.norm(self.cube.twist[:3]) < STILL
        if near and still and not self.cube.touched:
            self.deliveries += 1
            self._end("delivered", now)
        elif position[2] < FALLEN:
            self._end("fallen", now)
        elif now - self.began > ATTEMPT:
            self._end("timeout", now)

    def _end(self, how: str, now: float) -> None:
        self.over = now
        took = round(now - self.began, 2)
        self.log("attempt", number=self.attempt, how=how, seconds=took, deliveries=self.deliveries)

    def _put_back(self, now: float) -> None:
        hands = self.cube.hands()[:, :2]
        for index, place in enumerate(self.places):
            if np.linalg.norm(hands - place[:2], axis=1).min() > CLEAR:
                self.places.append(self.places.pop(index))
                self.cube.place(*place)
                self.attempt, self.began, self.over = self.attempt + 1, now, None
                self.log("put back", place=place)
                return
