"""Routes of many worlds that have the same map, where goals come back again and again."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from codi_navigation.maps.shapes import Map
from codi_navigation.routing.grid import RoadMap
from codi_navigation.routing.routes import Routes, grid_cell, plan_routes, road_map


class RoutesOnMap:
    """The ways to goals on one map, each of which is searched once.

    Args:
        one: the map.
        radius: of all robots [m].
    """

    def __init__(self, one: Map, radius: float) -> None:
        # As states have it.
        self._map, self._radius = one, float(np.float32(radius))
        self._rows: dict[tuple[float, ...], int] = {}
        self._known: Routes | None = None

    def to(self, goals: Tensor) -> Routes:
        """The routes to goals (B, N, 2) [m], on the host: those that :func:`plan_routes` finds."""
        each = [tuple(goal) for goal in goals.flatten(0, 1).tolist()]
        fresh = [goal for goal in dict.fromkeys(each) if goal not in self._rows]
        if fresh:
            found = self._search(torch.tensor(fresh))
            self._known = found if self._known is None else _both(self._known, found)
            self._rows |= {goal: row for row, goal in enumerate(fresh, len(self._rows))}
        assert self._known is not None
        rows = torch.tensor([self._rows[goal] for goal in each])
        return self._known.of_worlds(rows).together(goals.shape[1])

    def _search(self, goals: Tensor) -> Routes:
        """One world with one robot for each goal (n, 2)."""
        count = len(goals)
        radii = np.full((count, 1), self._radius, np.float32)
        return plan_routes([self._map] * count, goals[:, None].numpy(), radii, self._roads * count)

    @cached_property
    def _roads(self) -> list[RoadMap]:
        if not self._map.obstacles:
            return []
        return [road_map(self._map, self._radius, grid_cell(self._radius))]


def _both(one: Routes, other: Routes) -> Routes:
    """The worlds of the one and then those of the other, which have the same map."""
    fields = [routes.field for routes in (one, other) if routes.field is not None]
    return Routes(
        goal=torch.cat((one.goal, other.goal)),
        field=torch.cat(fields) if fields else None,
        corner=torch.cat((one.corner, other.corner)),
        cell=torch.cat((one.cell, other.cell)),
        open=torch.cat((one.open, other.open)),
    )
