"""The typed state estimate of arms and a cube, which predictors, costs and plants exchange."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.kinematics import forward_kinematics, pose_and_jacobian

HELD_DISTANCE = 0.04
"""[m] A cube that near, with the gripper at its width, is taken to be held."""


@attrs.frozen(eq=False)
class FrankaState:
    """B worlds with N arms and one cube, SI units.

    Attributes:
        joint_position: (B, N, 7) [rad].
        joint_velocity: (B, N, 7) [rad/s].
        gripper_width: (B, N), between the fingers [m].
        cube_position: (B, 3), the cube's centre, world frame [m].
        cube_quaternion: (B, 4), wxyz, world frame.
        cube_velocity: (B, 6), linear [m/s] and angular [rad/s], world frame.
        goal: (B, 3), where the cube's centre should be, world frame [m]; None where nothing is
            asked for, as in demonstrations of one arm and in what a simulator returns.
    """

    joint_position: Tensor
    joint_velocity: Tensor
    gripper_width: Tensor
    cube_position: Tensor
    cube_quaternion: Tensor
    cube_velocity: Tensor
    goal: Tensor | None = None

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return self.cube_position.shape[0]

    def repeat(self, count: int) -> FrankaState:
        """Each world ``count`` times in a row: (B·count, ...)."""
        return self._each(lambda value: value.repeat_interleave(count, 0))

    def of_worlds(self, rows: Tensor) -> FrankaState:
        """The worlds with the numbers ``rows``, (b,), alone."""
        return self._each(lambda value: value[rows])

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> FrankaState:
        """The same numbers on another device or of another type."""
        return self._each(lambda value: value.to(device, dtype))

    def _each(self, act: Callable[[Tensor], Tensor]) -> FrankaState:
        return attrs.evolve(self, **{name: act(value) for name, value in tensors(self)})


def tensors(state: FrankaState) -> list[tuple[str, Tensor]]:
    """The state's tensors with their names; without the goal where there is none."""
    values = [(field.name, getattr(state, field.name)) for field in attrs.fields(FrankaState)]
    return [(name, value) for name, value in values if value is not None]


def hands_in_base(state: FrankaState) -> HandState:
    """The hands, each in its own arm's base frame."""
    position, rotation, jacobian = pose_and_jacobian(state.joint_position)
    twist = (jacobian @ state.joint_velocity.unsqueeze(-1)).squeeze(-1)
    return HandState(position, rotation, twist[..., :3], twist[..., 3:], jacobian)


def tcp_in_world(state: FrankaState, bases: BaseFrames) -> Tensor:
    """The TCPs' positions (B, N, 3), world frame [m]."""
    return bases.points_to_world(forward_kinematics(state.joint_position)[0])


def holding(
    state: FrankaState, hands: Tensor, nearest: float = HELD_DISTANCE, box: Box = CUBE
) -> Tensor:
    """Which hands hold the cube: (B, N) booleans.

    Args:
        state: of B worlds.
        hands: the TCPs' positions (B, N, 3), world frame [m].
        nearest: how near the cube's centre a hand is that holds it [m].
        box: what stands for the cube.
    """
    width = state.gripper_width
    least, most = box.holding()
    around = (width > least) & (width < most)
    return around & ((hands - state.cube_position.unsqueeze(1)).norm(dim=-1) < nearest)
