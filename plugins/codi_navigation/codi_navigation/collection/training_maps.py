"""Random maps for demonstrations. The scenarios' own maps are not among them."""

from __future__ import annotations

import math

import attrs
import numpy as np
import torch

from codi_navigation.maps.shapes import Map, Maps, Obstacle, walls
from codi_navigation.options import RADII
from codi_navigation.routing.grid import RoadMap
from codi_navigation.routing.routes import ROOM

HALF = 3.5
"""[m] Half of a training map's sides."""
CELL = 0.075
"""[m] Of the grid on which the expert's paths are searched."""
GOALS = 3
"""How many goals a demonstration has, one after another."""

_KINDS = {"open": 0.3, "scattered": 0.3, "rows": 0.25, "gap": 0.15}
_EXTENT = (-HALF, -HALF, HALF, HALF)


@attrs.frozen(eq=False)
class TrainingProblem:
    """What one demonstration is about.

    Attributes:
        map: the obstacles.
        radius: of the robot [m].
        start: (2,) [m], world frame.
        goals: (GOALS, 2) [m], all of them in reach.
        roads: the road map of that robot on that map.
    """

    map: Map
    radius: float
    start: np.ndarray
    goals: np.ndarray
    roads: RoadMap


def training_problem(generator: np.random.Generator) -> TrainingProblem:
    """A random map and robot, with a start and goals that it can reach."""
    while True:
        radius = float(generator.uniform(*RADII))
        one = training_map(generator, radius)
        roads = RoadMap(one, ROOM * radius, CELL)
        places = _free_places(one, radius, generator, GOALS + 1)
        if places is not None and _connected(roads, places):
            return TrainingProblem(one, radius, places[0], places[1:], roads)


def training_map(generator: np.random.Generator, radius: float) -> Map:
    """A map of a random kind: open, scattered obstacles, rows of boxes, or a wall with a gap."""
    kind = str(generator.choice(list(_KINDS), p=list(_KINDS.values())))
    if kind == "open":
        return Map(_EXTENT)
    if kind == "gap":
        return Map(_EXTENT, (*walls(_EXTENT), *_gap(generator, radius)))
    obstacles = _scattered(generator) if kind == "scattered" else _rows(generator, radius)
    fence = walls(_EXTENT) if generator.random() < 0.6 else []
    return Map(_EXTENT, (*fence, *obstacles))


def _scattered(generator: np.random.Generator) -> list[Obstacle]:
    """Boxes and circles of many sizes anywhere."""
    obstacles = []
    for _ in range(generator.integers(2, 12)):
        x, y = generator.uniform(-HALF, HALF, 2)
        if generator.random() < 0.4:
            obstacles.append(Obstacle.circle(x, y, generator.uniform(0.08, 0.7)))
        else:
            length, width = np.exp(generator.uniform(math.log(0.15), math.log(2.5), 2))
            obstacles.append(Obstacle.box(x, y, length, width, generator.uniform(0, math.pi)))
    return obstacles


def _rows(generator: np.random.Generator, radius: float) -> list[Obstacle]:
    """Parallel rows of boxes with aisles, turned as a whole."""
    turn, depth = generator.uniform(0, math.pi), generator.uniform(0.2, 0.7)
    if generator.random() < 0.5:
        turn = round(turn / (math.pi / 2)) * math.pi / 2
    aisle = generator.uniform(3.2 * radius, 1.4)
    obstacles, y = [], -HALF + generator.uniform(0, aisle)
    while y < HALF:
        x = -HALF - generator.uniform(0, 1.5)
        while x < HALF:
            length = generator.uniform(0.4, 2.5)
            middle = x + length / 2
            if generator.random() < 0.8 and math.hypot(middle, y) < HALF + 0.5:
                place = _rotated(middle, y, turn)
                wobble = generator.normal(0, 0.08)
                obstacles.append(Obstacle.box(*place, length, depth, turn + wobble))
            x += length + generator.uniform(3.2 * radius, 1.6)
        y += depth + aisle * generator.uniform(1.0, 1.5)
    return obstacles


def _gap(generator: np.random.Generator, radius: float) -> list[Obstacle]:
    """A wall with a gap, one robot wide or wider, along either axis through the middle."""
    thick = generator.uniform(0.1, 1.6)
    half = radius * generator.uniform(1.3, 3.0)
    middle, length = (HALF + half) / 2, HALF - half
    upright = generator.random() < 0.5
    blocks = []
    for sign in (-1, 1):
        place = (0.0, sign * middle) if upright else (sign * middle, 0.0)
        sides = (thick, length) if upright else (length, thick)
        blocks.append(Obstacle.box(*place, *sides))
    return blocks


def _rotated(x: float, y: float, angle: float) -> tuple[float, float]:
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * x - sin * y, sin * x + cos * y


def _free_places(
    one: Map, radius: float, generator: np.random.Generator, count: int
) -> np.ndarray | None:
    """Random places (count, 2) [m] where the robot fits, or None if the map is too full."""
    inner = HALF - radius
    drawn = generator.uniform(-inner, inner, (200, 2)).astype(np.float32)
    gaps = Maps.of([one]).distance(torch.from_numpy(drawn)[None])[0].numpy()
    good = drawn[gaps > 1.1 * radius]
    return good[:count] if len(good) >= count else None


def _connected(roads: RoadMap, places: np.ndarray) -> bool:
    """Whether all places lie in the same part of the road map."""
    from scipy.ndimage import label

    parts, _ = label(roads.free, np.ones((3, 3)))
    grid = roads.grid
    column = np.rint((places[:, 0] - grid.x) / grid.cell).astype(int)
    row = np.rint((places[:, 1] - grid.y) / grid.cell).astype(int)
    found = parts[row, column]
    return bool(found[0]) and bool((found == found[0]).all())
