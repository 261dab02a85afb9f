"""The part of the table on which arms pick and place the cube."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_franka.robot.layout import ARM_BASES, TABLE_SIZE
from codi_franka.robot.reach import MAX_BEARING, MAX_RADIUS, MIN_RADIUS, reachable

EDGE_MARGIN = 0.04
"""[m] Between the cube's centre and the table's edge: the whole cube stands on the table."""


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
