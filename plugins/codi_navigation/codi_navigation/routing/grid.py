"""Shortest distances over a grid of a map, with SciPy's Dijkstra."""

from __future__ import annotations

import math
from functools import lru_cache

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from codi_navigation.maps.shapes import Map, Maps

Field = NDArray[np.float32]

_MOVES = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2))
"""Moves along x and y in cells; with their opposites, 16 directions. Distances are at most 2.8 %
too long."""
_FIRST = 1.0
"""[m] Around the goal distances are straight lines, where nothing stands in the way."""
_STEEPNESS = 3.0
"""How much distances grow, a metre, inside what a robot cannot enter: the way out is downhill."""


@attrs.frozen
class Grid:
    """Where a field's values stand.

    Attributes:
        x: of the first column [m].
        y: of the first row [m].
        cell: between neighbours [m].
        columns: along x.
        rows: along y.
    """

    x: float
    y: float
    cell: float
    columns: int
    rows: int

    @classmethod
    def over(cls, extent: tuple[float, float, float, float], cell: float) -> Grid:
        """The grid that covers an extent, with its middle on a node."""
        x_min, y_min, x_max, y_max = extent
        half_x = math.ceil((x_max - x_min) / 2 / cell - 1e-6)
        half_y = math.ceil((y_max - y_min) / 2 / cell - 1e-6)
        middle_x, middle_y = (x_min + x_max) / 2, (y_min + y_max) / 2
        return cls(
            middle_x - half_x * cell, middle_y - half_y * cell, cell, 2 * half_x + 1, 2 * half_y + 1
        )

    def nodes(self, finer: int = 1) -> NDArray[np.float32]:
        """The nodes' places (rows, columns, 2) [m]; ``finer`` = 2 adds the places in between."""
        step = self.cell / finer
        x = self.x + step * np.arange(finer * (self.columns - 1) + 1)
        y = self.y + step * np.arange(finer * (self.rows - 1) + 1)
        return np.stack(np.meshgrid(x, y), -1).astype(np.float32)


class RoadMap:
    """What of one map a robot of a given size can use.

    Args:
        one: the map.
        room: the least distance of the robot's centre from obstacles [m].
        cell: of the grid [m].
    """

    def __init__(self, one: Map, room: float, cell: float) -> None:
        self.grid = Grid.over(one.extent, cell)
        self.room = room
        self._maps = Maps.of([one])
        self._clearance = self.clearance(self.grid.nodes(2).reshape(-1, 2)).reshape(
            2 * self.grid.rows - 1, 2 * self.grid.columns - 1
        )
        self.free = self._clearance[::2, ::2] >= room
        self._edges = self._connect()

    def clearance(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distances from points (n, 2) to the nearest obstacle, (n) [m]."""
        return self._maps.distance(torch.from_numpy(points)[None])[0].numpy()

    def distances(self, goals: NDArray[np.float32]) -> Field:
        """How far each node is from each goal, (goals, rows, columns) [m].

        Nodes that a robot cannot enter continue the distance of the nearest node that it can, so
        that the field has a slope everywhere; nodes that are cut off from the goal are infinite.
        """
        size = self.grid.rows * self.grid.columns
        starts, ends, lengths = self._edges
        parts = [self._around(goal) for goal in goals]
        sources = np.concatenate(
            [np.full(len(nodes), size + row) for row, (nodes, _) in enumerate(parts)]
        )
        graph = csr_array(
            (
                np.concatenate([lengths, *(straight for _, straight in parts)]),
                (
                    np.concatenate([starts, sources]),
                    np.concatenate([ends, *(nodes for nodes, _ in parts)]),
                ),
            ),
            shape=(size + len(goals), size + len(goals)),
        )
        found = dijkstra(graph, indices=size + np.arange(len(goals)))[:, :size]
        fields = found.reshape(-1, self.grid.rows, self.grid.columns).astype(np.float32)
        return self._continued(fields)

    def _connect(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """All edges between free nodes whose midpoints are free too, in both directions."""
        free, clearance = self.free, self._clearance
        starts, ends, lengths = [], [], []
        for dx, dy in _MOVES:
            start, end, middle = _shifted(self.grid.rows, self.grid.columns, dx, dy)
            # A disk that fits at both ends and in the middle fits in between, but for a sliver.
            good = (
                free.ravel()[start] & free.ravel()[end] & (clearance.ravel()[middle] >= self.room)
            )
            starts += [start[good], end[good]]
            ends += [end[good], start[good]]
            lengths.append(np.full(2 * int(good.sum()), self.grid.cell * math.hypot(dx, dy)))
        return np.concatenate(starts), np.concatenate(ends), np.concatenate(lengths)

    def _around(self, goal: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The free nodes near a goal that a straight line reaches, and how far they are."""
        nodes = self.grid.nodes()
        gap = nodes - goal
        length = np.hypot(gap[..., 0], gap[..., 1])
        near = np.flatnonzero((length <= _FIRST) & self.free)
        share = np.linspace(0, 1, 11, dtype=np.float32)[:, None, None]
        line = (goal + share * gap.reshape(-1, 2)[near]).astype(np.float32)
        clear = (self.clearance(line.reshape(-1, 2)).reshape(11, -1) >= self.room - 1e-4).all(0)
        # An edge of length zero would not exist in a sparse matrix.
        straight = np.maximum(length.ravel()[near[clear]], 1e-6)
        return near[clear], straight.astype(np.float64)

    def _continued(self, fields: Field) -> Field:
        gap, nearest = distance_transform_edt(~self.free, self.grid.cell, return_indices=True)
        rows, columns = nearest
        return (fields[:, rows, columns] + _STEEPNESS * gap).astype(np.float32)


@lru_cache(maxsize=64)
def _shifted(
    rows: int, columns: int, dx: int, dy: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Flat indices of all pairs of nodes a move apart, and of their midpoints on the finer grid."""
    first_row, last_row = max(0, -dy), rows - max(0, dy)
    row, column = np.mgrid[first_row:last_row, 0 : columns - dx]
    row, column = row.ravel(), column.ravel()
    start = row * columns + column
    end = (row + dy) * columns + column + dx
    middle = (2 * row + dy) * (2 * columns - 1) + 2 * column + dx
    return start, end, middle
