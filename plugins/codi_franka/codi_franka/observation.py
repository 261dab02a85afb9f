"""What each arm's policy sees: f_single^(i), in the arm's own base frame.

The names are those of the LeRobot data layout, so that other people's data can be used.

``observation.state`` (16): TCP position [m] (3), rotation as its first two matrix columns (6),
linear [m/s] (3) and angular velocity [rad/s] (3), gripper width [m] (1).

``observation.environment_state`` (18): cube position [m] (3), cube rotation (6), the cube's
position relative to the TCP [m] (3), and the cube's pose in the hand's frame: its position squashed
to tanh(x / 4 cm) (3), which resolves millimetres where a grasp needs them, and its rotation vector
[rad] (3). A cube looks alike from 24 sides: its rotation is given as the one nearest to the frame
that is turned about z towards the cube, in the hand's frame as the one nearest to how a hand holds
it.
"""

from __future__ import annotations

import itertools
from functools import cache

import torch
from torch import Tensor

from codi_core.planning import Observation
from codi_franka.geometry import (
    quaternion_from_matrix,
    quaternion_log,
    quaternion_to_matrix,
    rotation_6d_from_matrix,
)
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.state import FrankaState, hands_in_base

STATE = "observation.state"
ENVIRONMENT = "observation.environment_state"
SHAPES = {STATE: (16,), ENVIRONMENT: (18,)}

NEAR = 0.04
"""[m] The scale on which the cube's position in the hand's frame is resolved."""

STATE_NAMES = (
    *(f"tcp_position_{axis} [m]" for axis in "xyz"),
    *(f"tcp_rotation_{row}{column}" for column in "xy" for row in "xyz"),
    *(f"tcp_linear_velocity_{axis} [m/s]" for axis in "xyz"),
    *(f"tcp_angular_velocity_{axis} [rad/s]" for axis in "xyz"),
    "gripper_width [m]",
)
ENVIRONMENT_NAMES = (
    *(f"cube_position_{axis} [m]" for axis in "xyz"),
    *(f"cube_rotation_{row}{column}" for column in "xy" for row in "xyz"),
    *(f"cube_from_tcp_{axis} [m]" for axis in "xyz"),
    *(f"cube_near_hand_{axis}" for axis in "xyz"),
    *(f"cube_turned_from_hand_{axis} [rad]" for axis in "xyz"),
)


@cache
@torch.inference_mode(False)  # it outlives the plan that asks first
def _cube_symmetries(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The 24 rotations that map a cube onto itself, (24, 3, 3); the first one changes nothing."""
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = torch.zeros(3, 3)
            for column, (row, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[row, column] = sign
            if torch.det(matrix) > 0:
                matrices.append(matrix)
    return torch.stack(matrices).to(device, dtype)


def nearest_cube_rotation(rotation: Tensor, reference: Tensor) -> Tensor:
    """Of the 24 rotations that look like ``rotation`` on a cube, the nearest to ``reference``.

    Args:
        rotation: (..., 3, 3).
        reference: (..., 3, 3), in the same frame.

    Returns:
        (..., 3, 3).
    """
    relative = reference.mT @ rotation
    # trace(R S) is largest for the S whose product with R turns least.
    symmetries = _cube_symmetries(rotation.dtype, rotation.device)
    traces = torch.einsum("...ij,sji->...s", relative, symmetries)
    best = symmetries[traces.argmax(-1)]
    return rotation @ best


def towards(point: Tensor) -> Tensor:
    """Rotations about z that point x towards ``point`` (..., 3): (..., 3, 3)."""
    bearing = torch.atan2(point[..., 1], point[..., 0])
    cos, sin, zero = bearing.cos(), bearing.sin(), torch.zeros_like(bearing)
    rows = (cos, -sin, zero, sin, cos, zero, zero, zero, torch.ones_like(bearing))
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def observe(
    state: FrankaState, arms: tuple[str, ...], hands: HandState | None = None
) -> Observation:
    """The joint observation: ``ARM/NAME`` for each arm and each name, (B, n) each.

    Args:
        state: of B worlds.
        arms: the arms' names, in the order of the state.
        hands: where the state's hands are, in their base frames, if that is known already.
    """
    bases = BaseFrames.of(arms, state.cube_position.device, state.cube_position.dtype)
    hands = hands_in_base(state) if hands is None else hands
    cube = bases.points_to_base(state.cube_position.unsqueeze(-2).expand_as(hands.position))
    turned = bases.rotations_to_base(
        state.cube_quaternion.unsqueeze(-2).expand(*hands.position.shape[:-1], 4)
    )
    cube_rotation = nearest_cube_rotation(quaternion_to_matrix(turned), towards(cube))
    hand = torch.cat(
        (
            hands.position,
            rotation_6d_from_matrix(hands.rotation),
            hands.linear_velocity,
            hands.angular_velocity,
            state.gripper_width.unsqueeze(-1),
        ),
        -1,
    )
    seen_cube = torch.cat(
        (
            cube,
            rotation_6d_from_matrix(cube_rotation),
            cube - hands.position,
            *_in_hand(hands, cube, cube_rotation),
        ),
        -1,
    )
    return {
        f"{arm}/{name}": value[:, index]
        for index, arm in enumerate(arms)
        for name, value in ((STATE, hand), (ENVIRONMENT, seen_cube))
    }


def _in_hand(hands: HandState, cube: Tensor, cube_rotation: Tensor) -> tuple[Tensor, Tensor]:
    """The cube's squashed position and its rotation vector in the hands' frames, (..., 3) each."""
    inverse = hands.rotation.mT
    offset = (inverse @ (cube - hands.position).unsqueeze(-1)).squeeze(-1)
    held = nearest_cube_rotation(
        inverse @ cube_rotation, torch.eye(3, dtype=inverse.dtype, device=inverse.device)
    )
    return torch.tanh(offset / NEAR), quaternion_log(quaternion_from_matrix(held))
