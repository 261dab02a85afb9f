"""Where arms pick and place the cube, and where demonstrations have shown their hands."""

from __future__ import annotations

import torch
from torch import Tensor

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
    count: int,
    generator: torch.Generator,
    by_radius: float = 0.0,
    max_radius: float = MAX_RADIUS,
) -> Tensor:
    """Points (count, 2) [m] of the table that one arm reaches, in its base frame.

    Args:
        count: how many.
        generator: where the randomness comes from.
        by_radius: the share that is uniform over the radius instead of the area. It shows a
            policy more of the rare places near the base.
        max_radius: how far from its base's axis the arm is used [m].
    """
    points = torch.empty(0, 2)
    while len(points) < count:
        draw = torch.rand(2 * count + 8, 3, generator=generator)
        area = (MIN_RADIUS**2 + draw[:, 0] * (max_radius**2 - MIN_RADIUS**2)).sqrt()
        line = MIN_RADIUS + draw[:, 0] * (max_radius - MIN_RADIUS)
        radius = torch.where(draw[:, 2] < by_radius, line, area)
        bearing = (2 * draw[:, 1] - 1) * MAX_BEARING
        drawn = torch.stack((radius * bearing.cos(), radius * bearing.sin()), -1)
        points = torch.cat((points, drawn[graspable(drawn, max_radius)]))
    return points[:count]


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
