"""How close an arm comes to itself, at any posture.

Its links are taken for the capsules of
:data:`~codi_franka.robot.parameters.LINK_SHAPES` and :data:`~.parameters.HAND_SHAPES`, the base for
one and the fingers for another. Within their limits the joints keep most pairs of them apart:
only base, shoulder and upper arm (links 0 to 2) can meet forearm, wrist, hand and fingers (from
link 5 on). So 15 pairs are looked at.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codi_franka.robot.clearance import segment_distance
from codi_franka.robot.kinematics import link_frames
from codi_franka.robot.parameters import (
    FLANGE_OFFSET,
    HAND_SHAPES,
    LINK_SHAPES,
    TOOL_ANGLE,
    TOOL_OFFSET,
    Capsule,
    Shape,
    Vector,
)

BASE = Capsule((-0.09, 0.0, 0.07), (0.0, 0.0, 0.07), 0.09)
"""Around the box of link 0, in the base frame."""
FINGERS = Capsule((0.0, 0.0, 0.05), (0.0, 0.0, TOOL_OFFSET), 0.02)
"""In the hand's frame; they may be open or closed."""


def self_clearance(joint_position: Tensor) -> Tensor:
    """The smallest gap [m] between an arm's parts that can meet; negative where they overlap.

    The capsules are up to 2 cm from the meshes that they stand for.

    Args:
        joint_position: (..., 7) [rad].

    Returns:
        (...).
    """
    return clearance_of(link_frames(joint_position))


def clearance_of(frames: Tensor) -> Tensor:
    """The same for :func:`~codi_franka.robot.kinematics.link_frames` (..., 8, 3, 4)."""
    parts = frames.index_select(-3, _FRAMES.to(frames.device))
    starts, ends = (parts @ _ENDS.to(frames)).unbind(-1)  # (..., parts, 3) each
    near, far = slice(0, _NEAR), slice(_NEAR, None)
    distances = segment_distance(
        starts[..., near, None, :],
        ends[..., near, None, :],
        starts[..., None, far, :],
        ends[..., None, far, :],
    )
    return (distances - _RADII.to(frames)).amin((-2, -1))


def _only(shapes: tuple[Shape, ...]) -> Capsule:
    (shape,) = shapes
    assert isinstance(shape, Capsule)
    return shape


def _on_link7(place: Vector) -> Vector:
    """From the hand's frame to that of the link that carries it."""
    cos, sin = math.cos(TOOL_ANGLE), math.sin(TOOL_ANGLE)
    x, y, z = place
    return cos * x - sin * y, sin * x + cos * y, z + FLANGE_OFFSET


def _carried(shape: Capsule) -> Capsule:
    return Capsule(_on_link7(shape.start), _on_link7(shape.end), shape.radius)


_PARTS: tuple[tuple[int, Capsule], ...] = (
    (0, BASE),
    *((link, _only(LINK_SHAPES[link])) for link in (1, 2, 5, 6, 7)),
    (7, _carried(_only(HAND_SHAPES))),
    (7, _carried(FINGERS)),
)
"""By the number of the frame that each is in; 0 is the base."""
_NEAR = 3
"""So many parts come first that are near the base; the others can meet them."""
_FRAMES = torch.tensor([frame for frame, _ in _PARTS])
_ENDS = torch.tensor(
    [[(*shape.start, 1.0), (*shape.end, 1.0)] for _, shape in _PARTS], dtype=torch.float64
).mT
_RADII = torch.tensor(
    [[one.radius + other.radius for _, other in _PARTS[_NEAR:]] for _, one in _PARTS[:_NEAR]],
    dtype=torch.float64,
)
