"""Robots on a circle that all change places with the one opposite."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from codi_core.errors import UsageError
from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map, Obstacle
from codi_navigation.options import NavigationOptions
from codi_navigation.scenarios.base import Scenario

ISLAND = 0.75
"""The island of the roundabout, as a share of the circle's radius: all robots fit around it."""
LANE = 0.15
"""[m] How wide a lane for centres is between the island and those who have arrived, if it is at
all: who comes late gets past them."""
LARGEST_SPACING = 100.0
"""[m] Farther apart, the numbers of the largest circles would lose millimetres."""


def _spacing(instance: Any, __: Any, value: float | None) -> None:
    if value is not None and not 2 * instance.radius <= value <= LARGEST_SPACING:
        raise UsageError(
            f"--spacing {value:g}: neighbours' start centres are at least two radii "
            f"({2 * instance.radius:g} m) apart, or else they overlap, and at most "
            f"{LARGEST_SPACING:g} m"
        )


@attrs.frozen(kw_only=True)
class SwapOptions(NavigationOptions):
    """Options of ``navigation-swap``."""

    spacing: float | None = attrs.field(
        default=None,
        validator=_spacing,
        metadata={"help": "between neighbours' start centres [m] (default: three radii)"},
    )


class Swap(Scenario):
    """Antipodal starts and goals on a circle in open space, turned by a random angle.

    A roundabout is painted on the floor. Nothing keeps robots off its island but a cost.

    Args:
        options: the number of robots, their radius and the spacing of their starts.
    """

    map: Map

    def __init__(self, options: SwapOptions) -> None:
        self.count = options.agents
        spacing = 3 * options.radius if options.spacing is None else options.spacing
        # Neighbours are a chord apart; two robots are a diameter apart.
        self.radius = spacing / (2 * math.sin(math.pi / self.count))
        if self.count < 4:
            # So few robots would start on top of their goals.
            self.radius = max(self.radius, 2 * spacing)
        self.longest = 2 * self.radius
        half = self.radius + 4 * options.radius
        island = Obstacle.circle(0.0, 0.0, self._island(options.radius))
        self.map = Map((-half, -half, half, half), roundabouts=(island,))

    def _island(self, robot: float) -> float:
        """The island's radius [m]: smaller where that opens a lane inside the goals."""
        lane = self.radius - 2 * robot - LANE
        usual = ISLAND * self.radius
        return min(usual, lane) if lane >= self.radius / 2 else usual

    def problem(self, generator: np.random.Generator) -> Problem:
        """The circle; for odd N goals lie between the starts opposite."""
        angles = 2 * np.pi * (np.arange(self.count) / self.count + generator.random())
        starts = self.radius * np.stack((np.cos(angles), np.sin(angles)), -1)
        return Problem(self.map, starts, -starts, angles + np.pi)
