"""The guard that keeps the arms apart."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import arm_clearance, arm_points
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.separation import SeparationGuard

BASES = BaseFrames.of(ARMS)
GUARD = SeparationGuard(BASES)


def facing(gap: float, height: float = 0.2, side: float = 0.0) -> HandState:
    """Hands at rest that face each other across the table's centre, ``gap`` [m] apart."""
    world = torch.tensor([[[-gap / 2, side, height], [gap / 2, -side, height]]])
    return at_rest(BASES.points_to_base(world))


def at_rest(position: Tensor) -> HandState:
    zero = torch.zeros_like(position)
    jacobian = torch.zeros(*position.shape[:-1], 6, 7)
    return HandState(position, torch.eye(3).expand(*position.shape, 3), zero, zero, jacobian)


def forwards(speed: float) -> Tensor:
    """Both hands move along their bases' x axes, towards each other: (1, 2, 6)."""
    twist = torch.zeros(1, 2, 6)
    twist[..., 0] = speed
    return twist


def clearance(position: Tensor) -> Tensor:
    return arm_clearance(BASES.arms_to_world(arm_points(position)))


def rate(hands: HandState, twist: Tensor, step: float = 1e-3) -> Tensor:
    """How fast the clearance changes [m/s]."""
    moved = clearance(hands.position + step * twist[..., :3])
    return (moved - clearance(hands.position)) / step


def test_arms_that_cannot_meet_do_as_they_are_told() -> None:
    hands, twist = facing(0.8), forwards(0.5)
    assert GUARD.restrain(hands, twist) is twist


def test_arms_that_approach_slow_down_in_proportion_to_the_room_that_is_left() -> None:
    for gap in (0.20, 0.25, 0.30):
        hands = facing(gap)
        room = clearance(hands.position) - GUARD.margin
        guarded = GUARD.restrain(hands, forwards(0.5))
        torch.testing.assert_close(rate(hands, guarded), -GUARD.gain * room, atol=5e-3, rtol=0.01)
        assert (guarded[..., 0] < 0.5).all()


def test_a_slow_approach_and_a_retreat_are_left_alone() -> None:
    hands = facing(0.30)
    for speed in (0.02, -0.3):
        torch.testing.assert_close(GUARD.restrain(hands, forwards(speed)), forwards(speed))


def test_arms_within_the_margin_are_pushed_apart() -> None:
    hands = facing(0.16)  # two tool radii of 7 cm leave 2 cm
    guarded = GUARD.restrain(hands, torch.zeros(1, 2, 6))
    expected = GUARD.gain * (GUARD.margin - 0.02)
    torch.testing.assert_close(rate(hands, guarded), torch.tensor([expected]), atol=2e-3, rtol=0.02)


def test_overlapping_arms_are_pushed_at_a_bounded_speed() -> None:
    guarded = GUARD.restrain(facing(0.02), torch.zeros(1, 2, 6))
    assert guarded[..., :3].norm(dim=-1).max() <= GUARD.push + 1e-5


def test_arms_slide_along_each_other() -> None:
    hands, twist = facing(0.20), forwards(0.5)
    twist[..., 1], twist[..., 3:] = 0.2, 0.7
    guarded = GUARD.restrain(hands, twist)
    torch.testing.assert_close(guarded[..., 1:], twist[..., 1:], atol=5e-3, rtol=0)
    assert (guarded[..., 0] < 0.5).all()


def test_a_hand_that_still_moves_is_slowed_earlier() -> None:
    still = facing(0.4)
    fast = attrs.evolve(still, linear_velocity=forwards(0.5)[..., :3])
    slowed = GUARD.restrain(fast, forwards(0.5))[0, 0, 0]
    assert slowed < GUARD.restrain(still, forwards(0.5))[0, 0, 0]


def test_a_world_alone_and_among_others_is_guarded_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    half = torch.tensor([0.15, 0.2, 0.1])
    world = (2 * torch.rand(12, 2, 3, generator=generator) - 1) * half
    hands = at_rest(BASES.points_to_base(world + torch.tensor([0.0, 0.0, 0.3])))
    twist = torch.randn(12, 2, 6, generator=generator)
    together = GUARD.restrain(hands, twist)
    for index in range(12):
        alone = GUARD.restrain(at_rest(hands.position[index : index + 1]), twist[index : index + 1])
        torch.testing.assert_close(alone[0], together[index])
