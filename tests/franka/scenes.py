"""States and actions that the tests of the task construct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from codi_franka.geometry import quaternion_exp
from codi_franka.robot.cell import ARM_BASES, ARMS, CUBE_SIZE
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.reach import follow
from codi_franka.state import FrankaState

GOAL = torch.tensor([0.45, 0.0, CUBE_SIZE / 2])
OPEN, SHUT = 0.08, 0.0

Point = tuple[float, float, float]


@lru_cache(maxsize=64)
def posture(arm: str, point: Point) -> tuple[float, ...]:
    """Joint angles (7) [rad] with which an arm's TCP is at a point of the world frame."""
    base, turn = ARM_BASES[arm].position, 1.0 if arm == "left" else -1.0
    target = torch.tensor([turn * (point[0] - base[0]), turn * point[1], point[2]])
    joints = follow(EndEffectorController(), torch.tensor(HOME), target, duration=8.0)[-1]
    return tuple(joints.tolist())


def state(
    cube: Point = (-0.2, 0.0, CUBE_SIZE / 2),
    yaw: float = 0.0,
    hands: Sequence[Point | None] = (None, None),
    width: float = OPEN,
    worlds: int = 1,
) -> FrankaState:
    """Worlds that are all alike, at rest; hands without a point are at home."""
    joints = torch.tensor(
        [HOME if at is None else posture(arm, at) for arm, at in zip(ARMS, hands, strict=True)]
    )
    return FrankaState(
        joint_position=joints.expand(worlds, -1, -1).clone(),
        joint_velocity=torch.zeros(worlds, 2, 7),
        gripper_width=torch.full((worlds, 2), width),
        cube_position=torch.tensor(cube).expand(worlds, -1).clone(),
        cube_quaternion=quaternion_exp(torch.tensor([[0.0, 0.0, yaw]])).expand(worlds, -1).clone(),
        cube_velocity=torch.zeros(worlds, 6),
        goal=GOAL.expand(worlds, -1).clone(),
    )


def random_states(worlds: int, seed: int = 0) -> FrankaState:
    """Arms near home that move, cubes anywhere on the table with any orientation."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(worlds, *shape, generator=generator)

    return FrankaState(
        joint_position=torch.tensor(HOME) + 0.2 * normal(2, 7),
        joint_velocity=0.3 * normal(2, 7),
        gripper_width=0.08 * torch.rand(worlds, 2, generator=generator),
        cube_position=torch.tensor([0.3, 0.3, 0.05]) * normal(3),
        cube_quaternion=quaternion_exp(math.pi * normal(3)),
        cube_velocity=normal(6),
        goal=GOAL.expand(worlds, -1).clone(),
    )


def chunk(*parts: tuple[int, Point, float]) -> Tensor:
    """A chunk (K, 7) from (steps, linear velocity in the base frame, gripper width)."""
    rows = [
        [*velocity, 0.0, 0.0, 0.0, width] for steps, velocity, width in parts for _ in range(steps)
    ]
    return torch.tensor(rows)


def joint_chunk(left: Tensor, right: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One world and one sample of both arms' chunks (1, 1, K, 7); the right one rests open."""
    if right is None:
        right = chunk((len(left), (0.0, 0.0, 0.0), OPEN))
    return left[None, None], right[None, None]


def random_chunks(worlds: int, samples: int, steps: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Moderate random actions of both arms, (B, M, K, 7) each."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor([0.2, 0.2, 0.2, 0.6, 0.6, 0.6, 0.03])
    middle = torch.tensor([0.0] * 6 + [0.05])
    draws = torch.randn(2, worlds, samples, steps, 7, generator=generator)
    return tuple(middle + scale * draws)  # type: ignore[return-value]
