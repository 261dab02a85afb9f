"""From recorded frames back to what was known, and how arms stand still."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from codi_core.planning import Observation
from codi_core.policies import observation_feature
from codi_core.tasks import recorded_feature
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import SHAPES
from codi_franka.robot.cell import ARMS
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, holding, tcp_in_world

_feature = partial(recorded_feature, of="franka-handoff")

_BY_JOINT = ("joint_position", "joint_velocity")
_PLAIN = ("gripper_width", "cube_position", "cube_quaternion", "cube_velocity")


def restore(
    options: HandoffOptions, frames: Mapping[str, Tensor]
) -> tuple[FrankaState, Observation]:
    """The state estimate and the joint observation of recorded frames.

    Args:
        options: whose goal the state gets; frames may have been recorded for another one.
        frames: of joint demonstrations or of a recording, (n, size) each, by feature.

    Returns:
        The state of n worlds, and the observation, named tensors (n, ...).

    Raises:
        DatasetError: a feature is missing.
    """
    joints = {name: _feature(frames, f"state.{name}") for name in _BY_JOINT}
    plain = {name: _feature(frames, f"state.{name}") for name in _PLAIN}
    cube = plain["cube_position"]
    state = FrankaState(
        **{name: value.unflatten(-1, (len(ARMS), -1)) for name, value in joints.items()},
        **plain,
        goal=cube.new_tensor(options.target).expand_as(cube),
    )
    names = [f"{arm}/{name}" for arm in ARMS for name in SHAPES]
    return state, {name: _feature(frames, observation_feature(name)) for name in names}


def hold(state: FrankaState) -> tuple[Tensor, ...]:
    """One action an arm, (B, 7), with which it stands still and its gripper stays as it is.

    A gripper that holds the cube goes on closing: commanded to the width that it has, it would let
    go.

    Args:
        state: of B worlds.
    """
    bases = BaseFrames.of(ARMS, state.cube_position.device, state.cube_position.dtype)
    width = torch.where(holding(state, tcp_in_world(state, bases)), 0.0, state.gripper_width)
    still = torch.zeros_like(state.joint_position[..., :6])
    return torch.cat((still, width.unsqueeze(-1)), -1).unbind(1)
