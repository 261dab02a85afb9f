"""One episode's problem, and what makes it one that cannot be solved."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from codi_core.errors import UsageError
from codi_navigation.maps.shapes import Map, Maps

Points = NDArray[np.float32]


def _points(values: object) -> Points:
    return np.asarray(values, np.float32).reshape(-1, 2)


def _headings(values: object) -> NDArray[np.float32]:
    return np.asarray(values, np.float32).reshape(-1)


@attrs.frozen(eq=False)
class Problem:
    """A map, and where each of N robots starts and is to go.

    Attributes:
        map: the obstacles.
        starts: (N, 2) [m], world frame.
        goals: (N, 2) [m].
        headings: (N,) [rad], at the start.
    """

    map: Map
    starts: Points = attrs.field(converter=_points)
    goals: Points = attrs.field(converter=_points)
    headings: NDArray[np.float32] = attrs.field(converter=_headings)


def check_problem(problem: Problem, radius: float) -> None:
    """Refuse a problem that robots of this radius [m] cannot solve, whoever steers them.

    That each goal can be reached from its start is checked by :func:`check_reachable`.

    Raises:
        UsageError: the message says what is wrong, and where.
    """
    count = len(problem.starts)
    if len(problem.goals) != count or len(problem.headings) != count or not count:
        raise UsageError(
            f"a problem needs as many goals and headings as starts: got {count} starts, "
            f"{len(problem.goals)} goals and {len(problem.headings)} headings"
        )
    for places, name in ((problem.starts, "start"), (problem.goals, "goal")):
        _check_places(problem.map, places, name, radius)
        _check_apart(places, name, radius)


def check_reachable(problem: Problem, lengths: NDArray[np.floating], radius: float) -> None:
    """Refuse a map that is closed off: the shortest paths (N,) [m] must be finite.

    Raises:
        UsageError: a robot cannot get to its goal.
    """
    for robot in np.flatnonzero(~np.isfinite(lengths) | (lengths > 900)):
        raise UsageError(
            f"the map is closed off for robot {robot}: no path of a robot of radius {radius:g} m "
            f"leads from its start {_shown(problem.starts[robot])} to its goal "
            f"{_shown(problem.goals[robot])}"
        )


def _check_places(one: Map, places: Points, name: str, radius: float) -> None:
    x_min, y_min, x_max, y_max = one.extent
    low, high = np.array([x_min, y_min]), np.array([x_max, y_max])
    outside = ((places < low) | (places > high)).any(-1)
    for robot in np.flatnonzero(outside):
        raise UsageError(
            f"robot {robot}'s {name} {_shown(places[robot])} is outside the map, which extends "
            f"from {_shown(low)} to {_shown(high)}"
        )
    gaps = Maps.of([one]).distance(torch.from_numpy(places)[None])[0].numpy()
    for robot in np.flatnonzero(gaps < radius):
        where = "is inside an obstacle" if gaps[robot] < 0 else f"is {gaps[robot]:.3f} m from one"
        raise UsageError(
            f"robot {robot}'s {name} {_shown(places[robot])} {where}: a robot of radius "
            f"{radius:g} m does not fit"
        )


def _check_apart(places: Points, name: str, radius: float) -> None:
    for first, second in sorted(cKDTree(places).query_pairs(2 * radius - 1e-6)):
        gap = float(np.linalg.norm(places[first] - places[second]))
        raise UsageError(
            f"the {name}s of robots {first} and {second} overlap: their centres are {gap:.3f} m "
            f"apart, and two robots of radius {radius:g} m need {2 * radius:g} m"
        )


def _shown(point: NDArray[np.floating]) -> str:
    return f"({point[0]:.2f}, {point[1]:.2f})"
