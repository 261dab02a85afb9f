"""Random shelves, random starts and goals."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch

from codi_core.errors import UsageError
from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map, Maps, Obstacle, walls
from codi_navigation.options import NavigationOptions, agents_field
from codi_navigation.scenarios.base import Scenario

_ATTEMPTS = 200


def _size(_: object, __: Any, value: float) -> None:
    if not 4 <= value <= 40:
        raise UsageError(f"--size must be between 4 m and 40 m, not {value:g}")


@attrs.frozen(kw_only=True)
class WarehouseOptions(NavigationOptions):
    """Options of ``navigation-warehouse``."""

    agents: int = agents_field(16)
    size: float = attrs.field(
        default=8.0, validator=_size, metadata={"help": "the hall's sides [m]"}
    )


class Warehouse(Scenario):
    """Shelves of random lengths on jittered rows, with aisles in which two robots pass.

    Args:
        options: the number of robots, their radius and the hall's size.
    """

    def __init__(self, options: WarehouseOptions) -> None:
        self.count, self.radius, self.size = options.agents, options.radius, options.size
        self.aisle = max(0.9, 6 * options.radius)
        self.room = 1.3 * options.radius
        self.longest = 2 * options.size

    def problem(self, generator: np.random.Generator) -> Problem:
        """A hall, and places in its aisles that keep apart."""
        one = self._map(generator)
        maps = Maps.of([one])
        starts = self._places(maps, generator, None)
        goals = self._places(maps, generator, starts)
        gap = goals - starts
        return Problem(one, starts, goals, np.arctan2(gap[:, 1], gap[:, 0]))

    def _map(self, generator: np.random.Generator) -> Map:
        half, depth = self.size / 2, 0.5
        shelves: list[Obstacle] = []
        y = -half + self.aisle + depth / 2
        while y + depth / 2 + self.aisle <= half + 1e-9:
            shelves += self._row(generator, y, depth)
            y += depth + self.aisle * generator.uniform(1.0, 1.3)
        extent = (-half, -half, half, half)
        return Map(extent, (*walls(extent), *shelves))

    def _row(self, generator: np.random.Generator, y: float, depth: float) -> list[Obstacle]:
        """Shelves along x, with cross aisles between them; some are missing."""
        row: list[Obstacle] = []
        half = self.size / 2
        x = -half + self.aisle * generator.uniform(0.9, 1.4)
        while True:
            length = generator.uniform(0.8, 2.2)
            if x + length > half - 0.9 * self.aisle:
                return row
            if generator.random() < 0.85:
                turn = generator.uniform(-0.1, 0.1)
                row.append(Obstacle.box(x + length / 2, y, length, depth, turn))
            x += length + self.aisle * generator.uniform(1.0, 1.4)

    def _places(
        self, maps: Maps, generator: np.random.Generator, starts: np.ndarray | None
    ) -> np.ndarray:
        """Random places (N, 2) [m] with room around them; goals are a third of the hall away."""
        half, apart = self.size / 2, 3 * self.radius
        found = np.empty((0, 2))
        for _ in range(_ATTEMPTS):
            drawn = generator.uniform(-half, half, (16, 2))
            points = torch.as_tensor(drawn, dtype=torch.float32)[None]
            fits = maps.distance(points)[0].numpy() > self.room
            for point in drawn[fits]:
                far = np.linalg.norm(found - point, axis=-1).min(initial=np.inf) > apart
                own = None if starts is None else starts[len(found)]
                if far and (own is None or np.linalg.norm(point - own) > self.size / 3):
                    found = np.concatenate((found, point[None]))
                if len(found) == self.count:
                    return found
        raise UsageError(
            f"--agents {self.count} does not fit: a hall of {self.size:g} m by {self.size:g} m has "
            f"room for about {len(found)} robots of radius {self.radius:g} m; give a larger --size"
        )
