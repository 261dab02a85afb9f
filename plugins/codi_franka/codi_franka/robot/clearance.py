"""How close two arms come, from the paths of their hands alone.

An arm is taken for two capsules: the tool, from the fingertips to the wrist, and the forearm, from
the wrist to the elbow. Both follow from the position of the hand, because the controller keeps the
arm in a vertical plane and the hand points down.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor

from codi_core.resources import can_branch_on
from codi_franka.geometry import constant
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
    # In the arm's vertical plane, with the coordinates outward and up from the shoulder.
    radius = hand[..., :2].norm(dim=-1).clamp_min(1e-6)
    out, up = radius - _WRIST_BEHIND, hand[..., 2] + (_WRIST_ABOVE - LINKS[0].d)
    distance = (out.square() + up.square()).clamp_min(1e-12).sqrt()
    length = distance.clamp(abs(_UPPER - _FORE) + 1e-3, _UPPER + _FORE)
    share = (_UPPER**2 - _FORE**2 + length**2) / (2 * length)
    height = (_UPPER**2 - share**2).clamp_min(0.0).sqrt()
    # The elbow is on the upper side of the line from shoulder to wrist.
    along, above = share / distance, height / distance
    elbow_out, elbow_up = along * out - above * up, along * up + above * out
    outward = hand[..., :2] / radius.unsqueeze(-1)

    def point(out: Tensor, up: Tensor) -> Tensor:
        return torch.cat((out.unsqueeze(-1) * outward, (up + LINKS[0].d).unsqueeze(-1)), -1)

    return hand, point(out, up), point(elbow_out, elbow_up)


def arm_clearance(points: tuple[Tensor, ...]) -> Tensor:
    """The smallest gap [m] between the capsules of different arms; negative where they overlap.

    Args:
        points: fingertips, wrist and elbow of N arms, (..., N, 3) each, in one frame.

    Returns:
        (...).
    """
    arms = torch.stack(points, -2).unbind(-3)  # (..., 3 points, 3) each
    capsules = [(arm[..., :-1, :], arm[..., 1:, :]) for arm in arms]
    radii = constant((TOOL_RADIUS, FOREARM_RADIUS), points[0])
    gaps = [
        segment_distance(*(end.unsqueeze(-2) for end in one), *(end.unsqueeze(-3) for end in other))
        for one, other in combinations(capsules, 2)
    ]
    return (torch.stack(gaps) - (radii[:, None] + radii)).amin((0, -2, -1))


def hands_apart(hands: Tensor) -> bool:
    """Whether all hands (..., N, 3) are known to be so far apart that no arms can touch."""
    if not can_branch_on(hands):
        return False
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
