"""The arms as capsules: their points against the kinematics, their gaps against brute force."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from torch import Tensor

from codi_franka.handoff.costs import ClearanceCost, CollisionCost
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import (
    FOREARM_RADIUS,
    MEETING_DISTANCE,
    TOOL_RADIUS,
    arm_clearance,
    arm_points,
    hands_apart,
    segment_distance,
)
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics, joint_origins
from codi_franka.robot.parameters import LINKS, POSITION_LOWER, POSITION_UPPER

BASES = BaseFrames.of(ARMS)
DOUBLE = BaseFrames(*(value.double() for value in attrs.astuple(BASES, recurse=False)))
SHOULDER = torch.tensor([0.0, 0.0, LINKS[0].d])


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def clearance(hands: Tensor) -> Tensor:
    """Of both arms, from their hands (..., 2, 3) in the world frame."""
    bases = DOUBLE if hands.dtype == torch.float64 else BASES
    return arm_clearance(bases.arms_to_world(arm_points(bases.points_to_base(hands))))


def along(start: Tensor, end: Tensor, count: int = 201) -> Tensor:
    """Points (..., count, 3) of segments (..., 3)."""
    share = torch.linspace(0, 1, count, dtype=start.dtype)[:, None]
    return start[..., None, :] + share * (end - start)[..., None, :]


# -- segments -----------------------------------------------------------------------------------


def test_the_distance_of_segments_is_that_of_their_nearest_points() -> None:
    ends = normal(4, 300, 3)
    found = segment_distance(*ends)
    first, second = along(ends[0], ends[1]), along(ends[2], ends[3])
    brute = torch.cdist(first, second).amin((-1, -2))
    assert (found <= brute + 1e-9).all()
    # A grid of 201 points on segments of up to 6 m is off by at most one and a half centimetres.
    spacing = ((ends[1] - ends[0]).norm(dim=-1) + (ends[3] - ends[2]).norm(dim=-1)) / 200 / 2
    assert (brute - found <= spacing).all()


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (([0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]), 1.0),  # parallel
        (([0, 0, 0], [1, 0, 0], [3, 0, 0], [2, 0, 0]), 1.0),  # on one line
        (([0, 0, 0], [1, 0, 0], [0.5, -1, 0.2], [0.5, 1, 0.2]), 0.2),  # crossing
        (([0, 0, 0], [0, 0, 0], [1, -1, 0], [1, 1, 0]), 1.0),  # a point
        (([0, 0, 0], [0, 0, 0], [3, 4, 0], [3, 4, 0]), 5.0),  # two points
        (([0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0]), 0.0),  # a common end
    ],
)
def test_the_distance_of_special_segments(ends: tuple[list[float], ...], expected: float) -> None:
    points = [torch.tensor(end, dtype=torch.float64) for end in ends]
    assert segment_distance(*points).item() == pytest.approx(expected, abs=1e-9)
    assert segment_distance(*points[2:], *points[:2]).item() == pytest.approx(expected, abs=1e-9)


# -- arms ---------------------------------------------------------------------------------------


def planar_postures(count: int = 4000) -> Tensor:
    """Postures within the limits in a vertical plane, the hand down and in front: (n, 7).

    Their elbows are bent upwards, as the controller keeps them: joint 4 is on the home posture's
    side of the angle at which shoulder, elbow and wrist are on one line.
    """
    generator = torch.Generator().manual_seed(3)
    lower = torch.tensor(POSITION_LOWER, dtype=torch.float64)
    upper = torch.tensor(POSITION_UPPER, dtype=torch.float64)
    drawn = torch.rand(count, 7, generator=generator, dtype=torch.float64)
    joints = lower + (upper - lower) * drawn
    joints[:, 2] = joints[:, 4] = 0.0
    joints[:, 5] = joints[:, 1] - joints[:, 3]
    position, rotation = forward_kinematics(joints)
    heading = torch.stack((joints[:, 0].cos(), joints[:, 0].sin()), -1)
    ahead = (position[:, :2] * heading).sum(-1) > 0.1
    within = (joints[:, 5] > lower[5]) & (joints[:, 5] < upper[5])
    torch.testing.assert_close(rotation[:, 2, 2], torch.full_like(rotation[:, 2, 2], -1.0))
    line = -math.atan2(LINKS[3].a, LINKS[2].d) - math.atan2(-LINKS[4].a, LINKS[4].d)
    return joints[ahead & within & (joints[:, 3] < line)]


def test_wrist_and_elbow_are_those_of_planar_postures() -> None:
    postures = planar_postures()
    assert len(postures) > 200
    hand, wrist, elbow = arm_points(forward_kinematics(postures)[0])
    origins = joint_origins(postures)
    torch.testing.assert_close(hand, origins[:, 7])
    torch.testing.assert_close(wrist, origins[:, 5], atol=1e-9, rtol=0)
    torch.testing.assert_close(elbow, origins[:, 3], atol=1e-6, rtol=0)


def test_points_are_finite_for_hands_that_no_arm_reaches() -> None:
    hands = torch.tensor([[0.0, 0.0, 0.3], [0.088, 0.0, 0.333 - 0.2104], [9.0, 1.0, -2.0]])
    for points in arm_points(hands.double()):
        assert points.isfinite().all()


def test_the_gap_is_that_between_the_capsules() -> None:
    hands = 0.3 * normal(200, 2, 3) + torch.tensor([0.0, 0.0, 0.3], dtype=torch.float64)
    points = DOUBLE.arms_to_world(arm_points(DOUBLE.points_to_base(hands)))
    tips, wrist, elbow = (value.unbind(-2) for value in points)
    brute = torch.full((200,), math.inf, dtype=torch.float64)
    capsules = [
        ((tips[arm], wrist[arm], TOOL_RADIUS), (wrist[arm], elbow[arm], FOREARM_RADIUS))
        for arm in range(2)
    ]
    for start, end, radius in capsules[0]:
        for other_start, other_end, other_radius in capsules[1]:
            first, second = along(start, end), along(other_start, other_end)
            gap = torch.cdist(first, second).amin((-1, -2)) - radius - other_radius
            brute = torch.minimum(brute, gap)
    found = arm_clearance(points)
    assert (found > 0).any()
    assert (found < 0).any()
    torch.testing.assert_close(found, brute, atol=5e-3, rtol=0)


def test_the_gap_is_negative_exactly_where_capsules_overlap() -> None:
    """Two hands at one height, face to face; the fingers are the nearest parts."""
    for gap in (-0.04, 0.0, 0.03, 0.2):
        half = TOOL_RADIUS + gap / 2
        hands = torch.tensor([[-half, 0.0, 0.1], [half, 0.0, 0.1]], dtype=torch.float64)
        assert clearance(hands).item() == pytest.approx(gap, abs=1e-6)


def test_a_hand_above_the_other_counts_although_the_fingertips_are_far_apart() -> None:
    hands = torch.tensor([[0.04, 0.0, 0.05], [-0.04, 0.0, 0.36]], dtype=torch.float64)
    assert (hands[0] - hands[1]).norm() > CollisionCost().radius
    assert clearance(hands).item() < 0.0


def test_three_arms_have_the_gap_of_the_closest_pair() -> None:
    points = tuple(normal(5, 3, 3, seed=seed) for seed in range(3))
    pairs = [
        arm_clearance(tuple(value[:, pair] for value in points))
        for pair in ([0, 1], [0, 2], [1, 2])
    ]
    torch.testing.assert_close(arm_clearance(points), torch.stack(pairs).amin(0))


def test_arms_whose_hands_are_apart_do_not_touch() -> None:
    """Wherever the arms get above the table, also as far out as the predictor lets them."""
    generator = torch.Generator().manual_seed(1)
    draw = torch.rand(200_000, 2, 3, generator=generator)
    local = torch.stack((draw[..., 0] * 1.2 - 0.3, draw[..., 1] * 1.8 - 0.9, draw[..., 2]), -1)
    within = ((local - SHOULDER).norm(dim=-1) < 0.86) & (local[..., :2].norm(dim=-1) > 0.1)
    hands = BASES.points_to_world(local[within.all(-1)])
    gap = (hands[:, 0, :2] - hands[:, 1, :2]).norm(dim=-1)
    apart = hands[gap > MEETING_DISTANCE]
    assert len(apart) > 20_000
    assert hands_apart(apart)
    assert clearance(apart).min() > ClearanceCost().margin
    near = hands[gap < MEETING_DISTANCE]
    assert not hands_apart(near[:1])
    assert not hands_apart(torch.cat((apart, near[:1])))


# -- the cost -----------------------------------------------------------------------------------


def trajectory(hands: Tensor) -> HandoffTrajectory:
    """From hands (B, M, K, 2, 3)."""
    cube = torch.zeros(*hands.shape[:3], 3)
    return HandoffTrajectory(
        hands, torch.zeros(hands.shape[:-1]), cube, torch.zeros(3), lambda: hands
    )


def facing(*gaps: float) -> HandoffTrajectory:
    """One world and one sample: hands face to face, as many steps as gaps [m]."""
    half = torch.tensor([[TOOL_RADIUS + gap / 2] for gap in gaps])
    rest = torch.tensor([0.0, 0.1]).expand(len(gaps), 2)
    hands = torch.stack((torch.cat((-half, rest), -1), torch.cat((half, rest), -1)), -2)
    return trajectory(hands[None, None])


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ((0.02,), 0.03),
        ((-0.04,), 0.09),
        ((0.06,), 0.0),
        ((1.2,), 0.0),
        ((1.2, 1.2, 0.01), 0.04),  # the nearest of the instants counts
        ((0.2, 0.0, 0.3), 0.0),  # step 1 is not looked at
    ],
)
def test_the_cost_is_what_lacks_to_the_margin(gaps: tuple[float, ...], expected: float) -> None:
    found = ClearanceCost()(facing(*gaps))
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(expected, abs=1e-5)


def test_the_margin_and_the_instants_can_be_chosen() -> None:
    path = facing(0.2, 0.0, 0.3)
    assert ClearanceCost(margin=0.25)(path).item() == pytest.approx(0.05, abs=1e-5)
    assert ClearanceCost(instants=(1, 30))(path).item() == pytest.approx(0.05, abs=1e-5)


def test_a_sample_costs_the_same_alone_and_among_distant_ones() -> None:
    hands = 0.3 * normal(3, 8, 16, 2, 3).float() + torch.tensor([0.0, 0.0, 0.3])
    hands[0] = torch.tensor([[-0.5, 0.0, 0.3], [0.5, 0.0, 0.3]])
    cost = ClearanceCost()
    together = cost(trajectory(hands))
    assert together.shape == (3, 8)
    assert (together[0] == 0).all()
    assert (together > 0).any()
    for world in range(3):
        for sample in range(8):
            alone = cost(trajectory(hands[world : world + 1, sample : sample + 1]))
            torch.testing.assert_close(alone[0, 0], together[world, sample])
