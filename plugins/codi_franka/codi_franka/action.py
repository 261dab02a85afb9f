"""What an action is: a twist of the hand and a gripper width."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.policies import ActionSpec
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.parameters import MAX_WIDTH

RATE_HZ = 10.0
HORIZON = 16

ACTION_NAMES = (
    *(f"tcp_linear_velocity_{axis} [m/s]" for axis in "xyz"),
    *(f"tcp_angular_velocity_{axis} [rad/s]" for axis in "xyz"),
    "gripper_width [m]",
)
"""In the arm's own base frame."""

TARGETS = 8
"""Of one arm: 7 joint velocities [rad/s] and the gripper width [m]."""

ACTION_SPEC = ActionSpec(names=ACTION_NAMES, horizon=HORIZON, rate_hz=RATE_HZ)


def joint_action_spec(arms: tuple[str, ...]) -> ActionSpec:
    """Of one policy that moves these arms, in this order."""
    names = tuple(f"{arm}/{name}" for arm in arms for name in ACTION_NAMES)
    return ActionSpec(names=names, horizon=HORIZON, rate_hz=RATE_HZ)


def actuator_targets(
    controller: EndEffectorController,
    joint_position: Tensor,
    actions: Tensor,
    jacobian: Tensor | None = None,
) -> Tensor:
    """From actions to the simulator's actuator targets.

    Args:
        controller: resolves twists into joint velocities.
        joint_position: (n, N, 7) [rad].
        actions: (n, N, 7); they may lie outside all limits and are saturated.
        jacobian: (n, N, 6, 7), of the TCPs at these positions, if it is known already.

    Returns:
        (n, N·8): for each arm 7 joint velocities [rad/s] and the gripper width [m].
    """
    velocity = controller.joint_velocity(joint_position, actions[..., :6], jacobian)
    width = actions[..., 6:].clamp(0.0, MAX_WIDTH)
    return torch.cat((velocity, width), -1).flatten(-2)
