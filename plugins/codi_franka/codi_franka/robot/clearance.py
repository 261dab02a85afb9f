"""How close two arms come, from the paths of their hands alone.

An arm is taken for two capsules: the tool, from the fingertips to the wrist, and the forearm, from
the wrist to the elbow. Both follow from the position of the hand, because the controller keeps the
arm in a vertical plane and the hand points down.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from codi_franka.robot.parameters import FLANGE_OFFSET, LINKS, TOOL_OFFSET

TOOL_RADIUS = 0.07
"""[m] Of the hand, the flange and the last link; the hand is wider across its fingers."""
FOREARM_RADIUS = 0.07
"""[m]"""

MEETING_DISTANCE = 0.65
"""[m] Arms whose hands are farther apart than this, seen from above, cannot touch."""

_UPPER = math.hypot(LINKS[2].d, LINKS[3].a)
_FORE = math.hypot(LINKS[4].d, LINKS[4].a)
_WRIST_ABOVE = FLANGE_OFFSET + TOOL_OFFSET
_WRIST_BEHIND = LINKS[6].a


def arm_points(hand: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fingertips, wrist and elbow for hand positions (..., 3) [m], all in the arm's base frame."""
    radius = hand[..., :2].norm(dim=-1, keepdim=True).clamp_min(1e-6)
    outward = torch.cat((hand[..., :2] / radius, torch.zeros_like(radius)), -1)
    up = hand.new_tensor([0.0, 0.0, 1.0])
    wrist = hand + _WRIST_ABOVE * up - _WRIST_BEHIND * outward
    reach = wrist - LINKS[0].d * up
    length = reach.norm(dim=-1, keepdim=True).clamp(abs(_UPPER - _FORE) + 1e-3, _UPPER + _FORE)
    along = reach / reach.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    share = (_UPPER**2 - _FORE**2 + length**2) / (2 * length)
    height = (_UPPER**2 - share**2).clamp_min(0.0).sqrt()
    # The elbow is on the upper side of the line from shoulder to wrist, in the arm's plane.
    side = torch.linalg.cross(outward, up.expand_as(outward), dim=-1)
    upward = torch.linalg.cross(side, along, dim=-1)
    elbow = LINKS[0].d * up + share * along + height * upward
    return hand, wrist, elbow


def arm_clearance(points: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The smallest gap [m] between the capsules of different arms; negative where they overlap.

    Args:
        points: fingertips, wrist and elbow of N arms, (..., N, 3) each, in one frame.

    Returns:
        (...).
    """
    tips, wrist, elbow = points
    starts = torch.stack((tips, wrist), -2)  # (..., N, 2 capsules, 3)
    ends = torch.stack((wrist, elbow), -2)
    radii = tips.new_tensor([TOOL_RADIUS, FOREARM_RADIUS])
    arms = tips.shape[-2]
    first, second = torch.triu_indices(arms, arms, 1)
    distance = segment_distance(
        starts[..., first, :, None, :],
        ends[..., first, :, None, :],
        starts[..., second, None, :, :],
        ends[..., second, None, :, :],
    )
    gaps = distance - radii[:, None] - radii
    return gaps.flatten(-3).amin(-1)


def hands_apart(hands: Tensor) -> bool:
    """Whether all hands (..., N, 3) are so far apart that no arms can touch."""
    arms = hands.shape[-2]
    first, second = torch.triu_indices(arms, arms, 1)
    gap = (hands[..., first, :2] - hands[..., second, :2]).square().sum(-1)
    return bool((gap > MEETING_DISTANCE**2).all())


def segment_distance(start_a: Tensor, end_a: Tensor, start_b: Tensor, end_b: Tensor) -> Tensor:
    """The distance between segments, (..., 3) each, to (...).

    Follows Ericson, Real-Time Collision Detection (2005), Sec. 5.1.9.
    """
    a, b, offset = end_a - start_a, end_b - start_b, start_a - start_b
    aa, bb, ab = _dot(a, a).clamp_min(1e-9), _dot(b, b).clamp_min(1e-9), _dot(a, b)
    ao, bo = _dot(a, offset), _dot(b, offset)
    along_a = ((ab * bo - ao * bb) / (aa * bb - ab * ab).clamp_min(1e-9)).clamp(0.0, 1.0)
    along_b = ((ab * along_a + bo) / bb).clamp(0.0, 1.0)
    along_a = ((ab * along_b - ao) / aa).clamp(0.0, 1.0)
    nearest = offset + along_a.unsqueeze(-1) * a - along_b.unsqueeze(-1) * b
    return nearest.norm(dim=-1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)
