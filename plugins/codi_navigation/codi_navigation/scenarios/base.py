"""The interface of a scenario."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from codi_core.planning import stream
from codi_core.tasks import EpisodeKey
from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map
from codi_navigation.vehicles.base import ACCELERATION, TOP_SPEED

Seconds = TypeVar("Seconds", float, NDArray[np.float64])

PATIENCE = 2.5
"""An episode lasts that many times what its slowest robot needs, alone and by the shortest path."""


class Scenario(ABC):
    """Draws the problem of each episode.

    Attributes:
        longest: the length of the longest shortest path that it can draw [m].
        map: the obstacles, where they are the same in all episodes; None where they differ.
    """

    longest: float
    map: Map | None = None

    @abstractmethod
    def problem(self, generator: np.random.Generator) -> Problem:
        """One episode's map, starts and goals; everything random comes from the generator.

        Raises:
            UsageError: the robots do not fit; the message says what is wrong.
        """

    def of_episode(self, key: EpisodeKey) -> Problem:
        """The problem of an episode; everything random derives from its key.

        Raises:
            UsageError: as :meth:`problem`.
        """
        mixed = np.random.SeedSequence([key.seed, key.episode, stream("problem")])
        return self.problem(np.random.default_rng(mixed))


def travel_time(length: float, turn: float = 0.0) -> float:
    """How long a robot takes for a path [s]: it turns, speeds up, drives at top speed and brakes.

    Args:
        length: of the path [m].
        turn: how long the vehicle takes to turn round on the spot [s].
    """
    ramp = TOP_SPEED**2 / ACCELERATION
    if length >= ramp:
        return turn + length / TOP_SPEED + TOP_SPEED / ACCELERATION
    return turn + float(2 * np.sqrt(length / ACCELERATION))


def time_limit(alone: Seconds) -> Seconds:
    """The time limits of episodes [s].

    Args:
        alone: how long the robot needs that needs longest, by :func:`travel_time` [s].
    """
    return PATIENCE * alone
