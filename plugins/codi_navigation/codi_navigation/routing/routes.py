"""How far each robot has to go, and where its shortest path leads, batched over worlds.

It is what one robot knows that plans for itself on a map without other robots.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from codi_core.errors import UsageError
from codi_navigation.maps.shapes import Map
from codi_navigation.routing.grid import RoadMap

ROOM = 1.2
"""[radii] How far a robot's planned path stays from obstacles."""
_NEAR = (0.3, 0.6)
"""[m] Below the first distance the straight line to the goal is exact enough, above the second the
grid is; in between both are blended."""
_STEP = 0.1
"""[m] Of the descent along a field."""


@attrs.frozen(eq=False)
class Routes:
    """The ways of N robots to their goals in B worlds.

    Attributes:
        goal: (B, N, 2) [m], world frame.
        field: (B, N, 3, rows, columns): the distance to the goal [m] and its slope along x and y
            (unit vectors), at the nodes of a grid; None where all worlds are open.
        corner: (B, 2), the place of the field's first node [m], world frame.
        cell: (B,), between the field's nodes [m].
        open: (B,) booleans: worlds without obstacles, in which routes are straight and the field
            means nothing.
    """

    goal: Tensor
    field: Tensor | None
    corner: Tensor
    cell: Tensor
    open: Tensor

    def distance(self, points: Tensor) -> Tensor:
        """How far it is from points (B, N, ..., 2) to each robot's goal, (B, N, ...) [m]."""
        x, y = self._straight(points).unbind(-1)
        straight = torch.hypot(x, y)
        if self.field is None:
            return straight
        found = self._sample(self.field[:, :, :1], points)[..., 0]
        low, high = _NEAR
        share = ((found - low) / (high - low)).clamp(0.0, 1.0)
        blended = torch.lerp(straight, found, share)
        return torch.where(_like(self.open, blended), straight, blended)

    def ahead(self, points: Tensor, distances: Sequence[float]) -> list[Tensor]:
        """The points on the shortest paths that are ``distances`` ahead of points (B, N, 2).

        Args:
            points: [m], world frame.
            distances: [m], ascending.

        Returns:
            (B, N, 2) each [m], world frame; the goal where it is nearer than that.
        """
        straight = self._straight(points)
        length = straight.norm(dim=-1, keepdim=True)
        beelines = [
            points + straight * (distance / length.clamp_min(distance)) for distance in distances
        ]
        if self.field is None:
            return beelines
        descent = [points]
        for _ in range(round(distances[-1] / _STEP)):
            descent.append(descent[-1] + self._direction(descent[-1]) * self._step(descent[-1]))
        return [
            torch.where(_like(self.open, beeline), beeline, descent[round(distance / _STEP)])
            for beeline, distance in zip(beelines, distances, strict=True)
        ]

    def of(self, rows: Tensor) -> Routes:
        """The routes of one robot (of N) in each world, chosen by its index (B,): N becomes 1."""
        worlds = torch.arange(len(rows), device=rows.device)
        return attrs.evolve(
            self,
            goal=self.goal[worlds, rows].unsqueeze(1),
            field=None if self.field is None else self.field[worlds, rows].unsqueeze(1),
        )

    def of_worlds(self, rows: Tensor) -> Routes:
        """The routes in some worlds, chosen by their numbers (b,)."""
        return attrs.evolve(
            self,
            goal=self.goal[rows],
            field=None if self.field is None else self.field[rows],
            corner=self.corner[rows],
            cell=self.cell[rows],
            open=self.open[rows],
        )

    def alone(self) -> Routes:
        """Each robot in a world of its own: B·N worlds, those of one world in a row."""
        robots = self.goal.shape[1]
        return Routes(
            goal=self.goal.flatten(0, 1).unsqueeze(1),
            field=None if self.field is None else self.field.flatten(0, 1).unsqueeze(1),
            corner=self.corner.repeat_interleave(robots, 0),
            cell=self.cell.repeat_interleave(robots, 0),
            open=self.open.repeat_interleave(robots, 0),
        )

    def together(self, robots: int) -> Routes:
        """Worlds of one robot, this many in a row made one world: undoes :meth:`alone`."""
        field = self.field
        return Routes(
            goal=self.goal.squeeze(1).unflatten(0, (-1, robots)),
            field=None if field is None else field.squeeze(1).unflatten(0, (-1, robots)),
            corner=self.corner[::robots],
            cell=self.cell[::robots],
            open=self.open[::robots],
        )

    def replaced(self, rows: Tensor, other: Routes) -> Routes:
        """The same with the routes of ``other`` in the worlds with the numbers ``rows``, (b,)."""
        return Routes(
            goal=self.goal.index_copy(0, rows, other.goal),
            field=_replaced_fields(self.field, rows, other.field, len(self.goal)),
            corner=self.corner.index_copy(0, rows, other.corner),
            cell=self.cell.index_copy(0, rows, other.cell),
            open=self.open.index_copy(0, rows, other.open),
        )

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Routes:
        """The same on a device, with floating-point numbers of a type."""
        return Routes(
            goal=self.goal.to(device, dtype),
            field=None if self.field is None else self.field.to(device, dtype),
            corner=self.corner.to(device, dtype),
            cell=self.cell.to(device, dtype),
            open=self.open.to(device),
        )

    def _step(self, points: Tensor) -> Tensor:
        return self._straight(points).norm(dim=-1, keepdim=True).clamp_max(_STEP)

    def _direction(self, points: Tensor) -> Tensor:
        """Unit vectors downhill, (B, N, 2)."""
        assert self.field is not None
        sampled = self._sample(self.field, points)
        downhill = functional.normalize(-sampled[..., 1:], dim=-1)
        beeline = functional.normalize(self._straight(points), dim=-1)
        near = (sampled[..., :1] < _NEAR[0]) | _like(self.open, sampled)
        return torch.where(near, beeline, downhill)

    def _straight(self, points: Tensor) -> Tensor:
        goal = self.goal.view(*self.goal.shape[:2], *[1] * (points.ndim - 3), 2)
        return goal - points

    def _sample(self, field: Tensor, points: Tensor) -> Tensor:
        """Values (B, N, C, rows, columns) at points (B, N, ..., 2), bilinear: (B, N, ..., C)."""
        worlds, robots, channels, rows, columns = field.shape
        corner = self.corner.view(-1, *[1] * (points.ndim - 2), 2)
        size = torch.stack((self.cell * (columns - 1), self.cell * (rows - 1)), -1)
        place = (points - corner) / size.view(corner.shape) * 2 - 1
        sampled = functional.grid_sample(
            field.flatten(0, 1),
            place.reshape(worlds * robots, 1, -1, 2),
            padding_mode="border",
            align_corners=True,
        )
        return sampled.squeeze(2).transpose(1, 2).reshape(*points.shape[:-1], channels)


def _like(flags: Tensor, values: Tensor) -> Tensor:
    return flags.view(-1, *[1] * (values.ndim - 1))


def plan_routes(
    maps: Sequence[Map], goals: np.ndarray, radii: np.ndarray, roads: Sequence[RoadMap] = ()
) -> Routes:
    """Search the ways from everywhere to each goal, on the host.

    Args:
        maps: one a world.
        goals: (B, N, 2) [m], world frame.
        radii: (B, N) [m]; the robots of one world plan with the largest of theirs.
        roads: road maps of these worlds that were made already.
    """
    goal = torch.as_tensor(np.asarray(goals), dtype=torch.float32)
    free = torch.tensor([not one.obstacles for one in maps])
    corner, cell = torch.zeros(len(maps), 2), torch.ones(len(maps))
    fields: list[Tensor | None] = [None] * len(maps)
    step = grid_cell(float(np.min(radii)))
    for world in torch.nonzero(~free).flatten().tolist():
        road = roads[world] if roads else road_map(maps[world], float(radii[world].max()), step)
        found = road.distances(np.asarray(goals[world], np.float32))
        fields[world] = _with_slope(found, road.grid.cell).unsqueeze(0)
        corner[world] = torch.tensor([road.grid.x, road.grid.y])
        cell[world] = road.grid.cell
    joined = _of_one_size(fields)
    return Routes(goal, None if joined is None else torch.cat(joined), corner, cell, free)


def grid_cell(radius: float) -> float:
    """The grid's cell for robots of a radius [m]."""
    return min(0.1, max(0.04, radius / 2))


def road_map(one: Map, radius: float, cell: float) -> RoadMap:
    """The road map for robots of a radius [m].

    Raises:
        UsageError: obstacles leave no room for such a robot.
    """
    roads = RoadMap(one, ROOM * radius, cell)
    if not roads.free.any():
        raise UsageError(f"the map has no room for a robot of radius {radius:g} m")
    return roads


def _with_slope(fields: np.ndarray, cell: float) -> Tensor:
    """Add the unit slope: (N, rows, columns) -> (N, 3, rows, columns)."""
    finite = np.where(np.isfinite(fields), fields, 1e3)
    along_y, along_x = np.gradient(finite, cell, axis=(-2, -1))
    steep = np.maximum(np.hypot(along_x, along_y), 1e-6)
    return torch.from_numpy(np.stack((finite, along_x / steep, along_y / steep), 1)).float()


def _replaced_fields(
    field: Tensor | None, rows: Tensor, other: Tensor | None, worlds: int
) -> Tensor | None:
    fields = _of_one_size([field, other])
    if fields is None:
        return None
    mine, others = (
        one.expand(count, -1, -1, -1, -1)
        for one, count in zip(fields, (worlds, len(rows)), strict=True)
    )
    return mine.index_copy(0, rows, others)


def _of_one_size(fields: Sequence[Tensor | None]) -> list[Tensor] | None:
    """Fields (b, N, 3, rows, columns) with as many rows and columns as the largest one has.

    What is missing continues the edge, as values outside of a grid do anyway. None stands for the
    field of open worlds, which may be anything; if all are open there is no field.
    """
    given = [field for field in fields if field is not None]
    if not given:
        return None
    rows, columns = (max(field.shape[axis] for field in given) for axis in (-2, -1))
    anything = torch.zeros_like(given[0][:1])
    return [_widened(anything if field is None else field, rows, columns) for field in fields]


def _widened(field: Tensor, rows: int, columns: int) -> Tensor:
    missing = (0, columns - field.shape[-1], 0, rows - field.shape[-2])
    if not any(missing):
        return field
    wide = functional.pad(field.flatten(0, 1), missing, mode="replicate")
    return wide.unflatten(0, field.shape[:2])
