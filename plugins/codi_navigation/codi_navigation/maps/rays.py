"""How far rays go before they meet an obstacle."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_navigation.maps.shapes import Maps, in_frame

_PARALLEL = 1e-9
"""A ray's component along an axis is taken to be at least that much: no division by zero."""


def cast(maps: Maps, origin: Tensor, direction: Tensor, reach: float) -> Tensor:
    """Distances along rays to the first obstacle, at most ``reach``.

    Args:
        maps: B worlds.
        origin: where the rays start, (B, N, 2) [m], world frame.
        direction: unit vectors, (B, N, R, 2).
        reach: the longest distance that is told [m].

    Returns:
        (B, N, R) [m]; 0 for a ray that starts inside an obstacle.
    """
    if not maps.obstacles.shape[1]:
        return torch.full_like(direction[..., 0], reach)
    shapes = maps.obstacles[:, None]  # (B, 1, O, 6)
    start_x, start_y = in_frame(origin.unsqueeze(-2), shapes)  # (B, N, O)
    start_x, start_y = start_x.unsqueeze(-2), start_y.unsqueeze(-2)  # (B, N, 1, O)
    cos, sin = shapes[..., 4].cos().unsqueeze(2), shapes[..., 4].sin().unsqueeze(2)
    x, y = direction[..., :1], direction[..., 1:]
    step_x, step_y = cos * x + sin * y, cos * y - sin * x  # (B, N, R, O)
    shapes = shapes.unsqueeze(2)
    to_box = _to_box(start_x, start_y, step_x, step_y, shapes)
    to_circle = _to_circle(start_x, start_y, step_x, step_y, shapes[..., 5])
    nearest = torch.where(shapes[..., 5] > 0, to_circle, to_box).amin(-1)
    return nearest.clamp(0.0, reach)


def _to_box(x: Tensor, y: Tensor, step_x: Tensor, step_y: Tensor, shapes: Tensor) -> Tensor:
    """The slab method: a ray is in the box while it is between both pairs of sides."""
    near_x, far_x = _slab(x, step_x, shapes[..., 2])
    near_y, far_y = _slab(y, step_y, shapes[..., 3])
    near, far = torch.maximum(near_x, near_y), torch.minimum(far_x, far_y)
    return torch.where((near <= far) & (far >= 0), near, torch.inf)


def _slab(start: Tensor, step: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
    step = torch.where(step.abs() < _PARALLEL, _PARALLEL, step)
    one, other = (-half - start) / step, (half - start) / step
    return torch.minimum(one, other), torch.maximum(one, other)


def _to_circle(x: Tensor, y: Tensor, step_x: Tensor, step_y: Tensor, radius: Tensor) -> Tensor:
    middle = -(x * step_x + y * step_y)
    outside = x**2 + y**2 - radius**2
    squared = middle**2 - outside
    near = middle - squared.clamp_min(0.0).sqrt()
    hits = (squared >= 0) & ((near >= 0) | (outside < 0))
    return torch.where(hits, near, torch.inf)
