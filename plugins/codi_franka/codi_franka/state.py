"""The typed state estimate of arms and a cube, which predictors, costs and plants exchange."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import attrs
import torch
from torch import Tensor

from codi_franka.geometry import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_matrix,
)
from codi_franka.robot.kinematics import forward_kinematics, pose_and_jacobian
from codi_franka.robot.layout import ARM_BASES


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


@attrs.frozen(eq=False)
class HandState:
    """Where the hands' tool centre points (TCP) are and how they move.

    Attributes:
        position: (..., N, 3) [m].
        rotation: (..., N, 3, 3).
        linear_velocity: (..., N, 3) [m/s].
        angular_velocity: (..., N, 3) [rad/s].
        jacobian: (..., N, 6, 7), with ``twist = jacobian @ joint_velocity`` of each TCP.
    """

    position: Tensor
    rotation: Tensor
    linear_velocity: Tensor
    angular_velocity: Tensor
    jacobian: Tensor


def hands_in_base(state: FrankaState) -> HandState:
    """The hands, each in its own arm's base frame."""
    position, rotation, jacobian = pose_and_jacobian(state.joint_position)
    twist = (jacobian @ state.joint_velocity.unsqueeze(-1)).squeeze(-1)
    return HandState(position, rotation, twist[..., :3], twist[..., 3:], jacobian)


@attrs.frozen(eq=False)
class BaseFrames:
    """The arms' base frames, batched over N arms.

    Attributes:
        position: (N, 3), world frame [m].
        rotation: (N, 3, 3), of the base in the world frame.
        quaternion: (N, 4), wxyz, the same.
    """

    position: Tensor
    rotation: Tensor
    quaternion: Tensor

    @classmethod
    def of(
        cls,
        arms: tuple[str, ...],
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> BaseFrames:
        """The frames of the named arms; made once for each device and type."""
        return _frames(arms, torch.device(device), dtype)

    def to_world(self, vector: Tensor) -> Tensor:
        """Turn free vectors (..., N, 3) from each base frame into the world frame."""
        return _turned(self.rotation, vector)

    def points_to_world(self, point: Tensor) -> Tensor:
        """Points (..., N, 3) from each base frame into the world frame."""
        return self.to_world(point) + self.position

    def arms_to_world(self, points: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Several points of each arm, (..., N, 3) each, into the world frame."""
        return self.points_to_world(torch.stack(points)).unbind(0)

    def points_to_base(self, point: Tensor) -> Tensor:
        """Points (..., N, 3) from the world frame into each base frame."""
        return _turned(self.rotation.mT, point - self.position)

    def rotations_to_base(self, quaternion: Tensor) -> Tensor:
        """Rotations (..., N, 4), wxyz, from the world frame into each base frame."""
        return quaternion_multiply(quaternion_conjugate(self.quaternion), quaternion)


@cache
@torch.inference_mode(False)  # it outlives the plan that asks first
def _frames(arms: tuple[str, ...], device: torch.device, dtype: torch.dtype) -> BaseFrames:
    bases = [ARM_BASES[arm] for arm in arms]
    position = torch.tensor([base.position for base in bases], dtype=dtype, device=device)
    quaternion = torch.tensor([base.quaternion for base in bases], dtype=dtype, device=device)
    return BaseFrames(position, quaternion_to_matrix(quaternion), quaternion)


def _turned(rotation: Tensor, vector: Tensor) -> Tensor:
    """Rotations (N, 3, 3) of vectors (..., N, 3)."""
    # One product for each arm: one for each vector takes several times as long.
    rows = vector.expand(*vector.shape[:-2], *rotation.shape[:2]).movedim(-2, 0)
    turned = rows.reshape(len(rotation), -1, 3) @ rotation.mT
    return turned.view(rows.shape).movedim(0, -2)


def tcp_in_world(state: FrankaState, bases: BaseFrames) -> Tensor:
    """The TCPs' positions (B, N, 3), world frame [m]."""
    return bases.points_to_world(forward_kinematics(state.joint_position)[0])
