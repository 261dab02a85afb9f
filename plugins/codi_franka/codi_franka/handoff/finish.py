"""When the cube counts as delivered, and what the arms do then."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from codi_core.tasks import Finish
from codi_franka.action import RATE_HZ
from codi_franka.geometry import constant
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import HOME
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.reach import servo_twist
from codi_franka.state import FrankaState, tcp_in_world

DELIVERED_RADIUS = 0.05
"""[m] A cube that near to its goal is left there: a third of the paper's tolerance, and far more
than a tracker errs by."""
ON_TABLE = 0.015
"""[m] A cube whose centre is less than that above where it is on the table lies there, as far as a
tracker can tell."""
CLEAR = 0.12
"""[m] A hand that far from the cube's centre does not touch it, whichever way it turns."""
RISING_SPEED, HOMING_SPEED = 0.2, 0.25
"""[m/s]"""


def delivered(state: FrankaState, box: Box = CUBE) -> Tensor:
    """Whether the cube lies at its goal and no hand holds it: (B,) booleans.

    Args:
        state: of B worlds, with their goals.
        box: what stands for the cube.
    """
    cube = state.cube_position
    assert state.goal is not None
    at_goal = (cube - state.goal).norm(dim=-1) <= DELIVERED_RADIUS
    low = cube[:, 2] < box.lying(state.cube_quaternion) + ON_TABLE
    return at_goal & low & _free(state, box).all(-1)


def afterwards(state: FrankaState, steps: int) -> tuple[Tensor, ...]:
    """Chunks (B, K, 7) an arm that open the hands, lift them off the cube and bring them home.

    A chunk is one action, which would be home at the chunk's end, or rising for as long as a hand
    is near the cube; from there its way home leads upwards.

    Args:
        state: of B worlds.
        steps: K.
    """
    joints = state.joint_position
    home = forward_kinematics(constant(HOME, joints))[0].expand(*joints.shape[:-1], 3)
    homing = servo_twist(joints, home, speed=HOMING_SPEED, gain=RATE_HZ / steps)
    rising = torch.zeros_like(homing)
    rising[..., 2] = RISING_SPEED
    twist = torch.where((_distance(state) < CLEAR).unsqueeze(-1), rising, homing)
    width = torch.full_like(twist[..., :1], MAX_WIDTH)
    action = torch.cat((twist, width), -1)
    return tuple(arm.unsqueeze(1).expand(-1, steps, -1) for arm in action.unbind(1))


def finish(box: Box) -> Finish:
    """When a box is delivered, and what the arms do then."""
    return Finish(done=partial(delivered, box=box), chunks=afterwards)


def _free(state: FrankaState, box: Box) -> Tensor:
    return (state.gripper_width > box.released) | (_distance(state) > CLEAR)


def _distance(state: FrankaState) -> Tensor:
    """Of the hands from the cube's centre, (B, N) [m]."""
    hands = tcp_in_world(state, BaseFrames.of(ARMS, state.cube_position.device))
    return (hands - state.cube_position.unsqueeze(1)).norm(dim=-1)
