"""Where arms pick and place the cube, and where demonstrations have shown their hands."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from codi_core.planning import NoiseSource
from codi_franka.robot.cell import ARM_BASES, TABLE_SIZE
from codi_franka.robot.reach import (
    MAX_BEARING,
    MAX_RADIUS,
    MIN_RADIUS,
    reachable,
    shoulder_distance,
)

EDGE_MARGIN = 0.04
"""[m] Between the cube's centre and the table's edge: the whole cube stands on the table."""

KNOWN_REACH = 0.84
"""[m] From the shoulder, 0.78 m from the base's axis at table height: arms get further, but few
demonstrations do."""
KNOWN_HEIGHT = 0.55
"""[m] Above the table; demonstrations begin at up to 0.45 m, and disturbances lift some hands."""
COASTING = 0.01
"""[m] By which a hand may overshoot before it turns back."""

_TRIES = 8
"""Points that are tried at once; most of the sector is on the table."""


def graspable(xy: Tensor, max_radius: float = MAX_RADIUS) -> Tensor:
    """Whether one arm can pick and place the cube there: (...) booleans.

    Args:
        xy: (..., 2) [m], in the arm's base frame. Both arms' frames see the same table, because
            they face each other across its centre.
        max_radius: how far from its base's axis the arm is used [m].
    """
    behind = ARM_BASES["left"].position[0]
    x_low, x_high = -TABLE_SIZE[0] / 2 - behind, TABLE_SIZE[0] / 2 - behind
    inside = (
        (xy[..., 0] > x_low + EDGE_MARGIN)
        & (xy[..., 0] < x_high - EDGE_MARGIN)
        & (xy[..., 1].abs() < TABLE_SIZE[1] / 2 - EDGE_MARGIN)
    )
    return inside & reachable(xy, max_radius)


def sample_graspable(
    noise: NoiseSource,
    by_radius: float = 0.0,
    max_radius: float = MAX_RADIUS,
    where: Tensor | None = None,
) -> Tensor:
    """One point of the table in each of n worlds that one arm reaches: (n, 2) [m], base frame.

    Args:
        noise: one stream a world; how much of it is taken is the world's own matter.
        by_radius: the share that is uniform over the radius instead of the area. It shows a
            policy more of the rare places near the base.
        max_radius: how far from its base's axis the arm is used [m].
        where: (n,) booleans, the worlds that want one; zeros in the others.
    """

    def in_sector(draw: Tensor) -> Tensor:
        return _in_sector(draw, by_radius, max_radius)

    return _first_good(noise, in_sector, lambda xy: graspable(xy, max_radius), where)


def graspable_by_both(xy: Tensor, max_radius: float = MAX_RADIUS) -> Tensor:
    """Whether two arms can both pick and place the cube there, for either's base frame: (...)."""
    return graspable(xy, max_radius) & graspable(across(xy), max_radius)


def across(xy: Tensor) -> Tensor:
    """Points (..., 2) [m] of one arm's base frame in that of the arm across the table."""
    between = ARM_BASES["right"].position[0] - ARM_BASES["left"].position[0]
    return xy.new_tensor((between, 0.0)) - xy


def sample_graspable_by_both(
    noise: NoiseSource, max_radius: float = MAX_RADIUS, where: Tensor | None = None
) -> Tensor:
    """One point of the table in each of n worlds that both arms reach, see above: (n, 2) [m]."""
    half = ARM_BASES["right"].position[0]
    widths = torch.tensor((2 * (max_radius - half), TABLE_SIZE[1]))

    def between_the_arms(draw: Tensor) -> Tensor:
        return torch.tensor((half, 0.0)) + (draw[..., :2] - 0.5) * widths

    return _first_good(noise, between_the_arms, lambda xy: graspable_by_both(xy, max_radius), where)


def _first_good(
    noise: NoiseSource,
    place: Callable[[Tensor], Tensor],
    good: Callable[[Tensor], Tensor],
    where: Tensor | None,
) -> Tensor:
    """The first of random points that is good, in each of n worlds: (n, 2).

    Args:
        noise: one stream a world; how much of it is taken is the world's own matter.
        place: from numbers (..., 3) on [0, 1) to points (..., 2).
        good: which of them will do, (...).
        where: (n,) booleans, the worlds that want one; zeros in the others. None stands for all.
    """
    points = torch.zeros(noise.worlds, 2)
    wanted = torch.ones(noise.worlds, dtype=torch.bool) if where is None else where
    while wanted.any():
        with noise.only(wanted):
            tried = place(noise.uniform(_TRIES, 3))
        fits = good(tried)
        found, first = fits.any(1), fits.int().argmax(1)
        first_good = tried.take_along_dim(first[:, None, None], 1)[:, 0]
        points = torch.where((wanted & found).unsqueeze(-1), first_good, points)
        wanted = wanted & ~found
    return points


def _in_sector(draw: Tensor, by_radius: float, max_radius: float) -> Tensor:
    """Points (..., 2) of the sector that an arm covers, from numbers (..., 3) on [0, 1)."""
    area = (MIN_RADIUS**2 + draw[..., 0] * (max_radius**2 - MIN_RADIUS**2)).sqrt()
    line = MIN_RADIUS + draw[..., 0] * (max_radius - MIN_RADIUS)
    radius = torch.where(draw[..., 2] < by_radius, line, area)
    bearing = (2 * draw[..., 1] - 1) * MAX_BEARING
    return torch.stack((radius * bearing.cos(), radius * bearing.sin()), -1)


def stays_known(path: Tensor, start: Tensor) -> Tensor:
    """Whether all hands stay where demonstrations were, or at least go no further away: (B, M).

    Args:
        path: (B, M, K, N, 3) [m], each hand's TCP in its arm's base frame.
        start: (B, N, 3) [m], the same before the first step.
    """
    near = _goes_no_further(shoulder_distance(path), shoulder_distance(start), KNOWN_REACH)
    return near & _goes_no_further(path[..., 2], start[..., 2], KNOWN_HEIGHT)


def _goes_no_further(values: Tensor, at_start: Tensor, limit: float) -> Tensor:
    allowed = (at_start + COASTING).clamp_min(limit).unsqueeze(1)
    return (values.amax(2) <= allowed).all(-1)
