"""Two groups of robots that change sides through a passage one robot wide."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from codi_core.errors import UsageError
from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map, Obstacle, walls
from codi_navigation.options import (
    CollectionOptions,
    NavigationOptions,
    agents_field,
    radius_field,
)
from codi_navigation.scenarios.base import Scenario

DEPTH, HEIGHT = 3.0, 3.0
"""[m] Of the chamber on each side."""
_MOUTH = 1.0
"""[m] From a mouth of the passage to the nearest start."""


def _length(_: object, __: Any, value: float) -> None:
    if not 0.2 <= value <= 4:
        raise UsageError(f"--length must be between 0.2 m and 4 m, not {value:g}")


def _length_field(what: str) -> Any:
    return attrs.field(default=1.0, validator=_length, metadata={"help": what})


@attrs.frozen(kw_only=True)
class CorridorOptions(NavigationOptions):
    """Options of ``navigation-corridor``."""

    agents: int = agents_field(4)
    length: float = _length_field("of the passage [m]")


@attrs.frozen(kw_only=True)
class CorridorCollectionOptions(CollectionOptions):
    """What demonstrations depend on; where both robots are there, the corridor is the task's."""

    agents: int = agents_field(4, "with --joint: the number of robots, which has to be 2")
    radius: float = radius_field("with --joint: of the robots [m]")
    length: float = _length_field("with --joint: of the passage [m]")


class Corridor(Scenario):
    """Half of the robots start on the left, half on the right, and all go to the other side.

    Starts and goals are cells of a lattice in each chamber, drawn without repetition: starts in
    the columns near the mouth, goals in those behind.

    Args:
        options: the number of robots, their radius and the passage's length.

    Raises:
        UsageError: the robots do not fit.
    """

    map: Map

    def __init__(self, options: CorridorOptions) -> None:
        self.count, self.radius = options.agents, options.radius
        self.width = 3.2 * options.radius
        self.half_length = options.length / 2
        self.pitch = 3.2 * options.radius
        self.rows = int((HEIGHT - 2 * options.radius - 0.2) // self.pitch) + 1
        columns = int((DEPTH - _MOUTH - options.radius - 0.1) // self.pitch) + 1
        each = -(-self.count // 2)
        self.start_columns = -(-each // self.rows)
        self.goal_columns = columns - self.start_columns
        if self.goal_columns * self.rows < each:
            fits = 2 * (columns // 2) * self.rows
            raise UsageError(
                f"--agents {self.count} does not fit: each chamber of {DEPTH:g} m by {HEIGHT:g} m "
                f"has room for the starts and goals of {fits} robots of radius {self.radius:g} m"
            )
        self.longest = 2 * (self.half_length + DEPTH) + HEIGHT
        self.map = self._map()

    def problem(self, generator: np.random.Generator) -> Problem:
        """Random cells of the lattices."""
        each = -(-self.count // 2)
        sides = np.where(np.arange(self.count) % 2 == 0, -1.0, 1.0)
        starts, goals = np.empty((self.count, 2)), np.empty((self.count, 2))
        for side in (-1.0, 1.0):
            members = sides == side
            near = self._cells(generator, 0, self.start_columns, each)
            far = self._cells(generator, self.start_columns, self.goal_columns, each)
            starts[members] = near[: members.sum()] * (side, 1)
            goals[members] = far[: members.sum()] * (-side, 1)
        return Problem(self.map, starts, goals, np.where(sides < 0, 0.0, np.pi))

    def _cells(
        self, generator: np.random.Generator, first: int, columns: int, count: int
    ) -> np.ndarray:
        """Places in the right chamber, (count, 2) [m]: the front column first, the rest random."""
        chosen = generator.permutation(columns * self.rows)[:count]
        column, row = first + chosen // self.rows, chosen % self.rows
        x = self.half_length + _MOUTH + self.pitch * column
        y = self.pitch * (row - (self.rows - 1) / 2)
        return np.stack((x, y), -1)

    def _map(self) -> Map:
        half, reach = self.half_length, self.half_length + DEPTH
        extent = (-reach, -HEIGHT / 2, reach, HEIGHT / 2)
        thick = (HEIGHT - self.width) / 2
        middle = (HEIGHT + self.width) / 4
        blocks = [Obstacle.box(0.0, sign * middle, 2 * half, thick) for sign in (-1.0, 1.0)]
        passage = Obstacle.box(0.0, 0.0, 2 * half, self.width)
        return Map(extent, (*walls(extent), *blocks), (passage,))
