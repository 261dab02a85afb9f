"""Drives the left arm of the environment by hand-written servos."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.tasks import Step
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.robot.reach import servo_twist
from codi_franka.state import FrankaState
from franka.scenes import OPEN

REST = torch.tensor([[0.0] * 6 + [OPEN]])


def left_servo(state: FrankaState, point: Tensor, yaw: Tensor, width: float) -> Tensor:
    """The left arm's action (1, 7) towards a point (3) of its base frame."""
    twist = servo_twist(state.joint_position[:, 0], point[None], yaw[None])
    return torch.cat((twist, torch.full((1, 1), width)), -1)


def drive_to_grasp(environment: FrankaEnvironment, steps: int = 45) -> Step:
    """One world: the left hand comes down around the cube, its gripper open.

    The hand keeps the cube's heading, so that the fingers pass its sides.
    """
    cube = environment.state.cube_position[0] + torch.tensor([0.65, 0.0, 0.0])
    quaternion = environment.state.cube_quaternion[0]
    heading = 2 * torch.atan2(quaternion[3], quaternion[0])
    yaw = heading - torch.atan2(cube[1], cube[0])
    for step in range(steps):
        above = cube + torch.tensor([0.0, 0.0, 0.12 if step < steps // 2 else 0.0])
        action = left_servo(environment.state, above, yaw, OPEN)
        last = environment.step((action, REST))
    return last
