"""The typed state estimate of arms and a cube, which predictors, costs and plants exchange."""

from __future__ import annotations

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
    """B worlds with N arms and one cube, SI units, float32.

    Attributes:
        joint_position: (B, N, 7) [rad].
        joint_velocity: (B, N, 7) [rad/s].
        gripper_width: (B, N), between the fingers [m].
        cube_position: (B, 3), the cube's centre, world frame [m].
        cube_quaternion: (B, 4), wxyz, world frame.
        cube_velocity: (B, 6), linear [m/s] and angular [rad/s], world frame.
    """

    joint_position: Tensor
    joint_velocity: Tensor
    gripper_width: Tensor
    cube_position: Tensor
    cube_quaternion: Tensor
    cube_velocity: Tensor

    @property
    def worlds(self) -> int:
        """The number of worlds B."""
        return self.cube_position.shape[0]

    def repeat(self, count: int) -> FrankaState:
        """Each world ``count`` times in a row: (B·count, ...)."""
        return attrs.evolve(
            self, **{name: value.repeat_interleave(count, 0) for name, value in tensors(self)}
        )

    def of_worlds(self, rows: Tensor) -> FrankaState:
        """The worlds with the numbers ``rows``, (b,), alone."""
        return attrs.evolve(self, **{name: value[rows] for name, value in tensors(self)})


def tensors(state: FrankaState) -> list[tuple[str, Tensor]]:
    """The state's tensors with their names."""
    return [(field.name, getattr(state, field.name)) for field in attrs.fields(FrankaState)]


@attrs.frozen(eq=False)
class HandState:
    """Where the hands' tool centre points (TCP) are and how they move.

    Attributes:
        position: (..., N, 3) [m].
        rotation: (..., N, 3, 3).
        linear_velocity: (..., N, 3) [m/s].
        angular_velocity: (..., N, 3) [rad/s].
    """

    position: Tensor
    rotation: Tensor
    linear_velocity: Tensor
    angular_velocity: Tensor


def hands_in_base(state: FrankaState) -> HandState:
    """The hands, each in its own arm's base frame."""
    position, rotation, jacobian = pose_and_jacobian(state.joint_position)
    twist = (jacobian @ state.joint_velocity.unsqueeze(-1)).squeeze(-1)
    return HandState(position, rotation, twist[..., :3], twist[..., 3:])


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
    def of(cls, arms: tuple[str, ...], device: torch.device | str = "cpu") -> BaseFrames:
        """The frames of the named arms."""
        bases = [ARM_BASES[arm] for arm in arms]
        quaternion = torch.tensor([base.quaternion for base in bases], device=device)
        return cls(
            torch.tensor([base.position for base in bases], device=device),
            quaternion_to_matrix(quaternion),
            quaternion,
        )

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


def _turned(rotation: Tensor, vector: Tensor) -> Tensor:
    """Rotations (N, 3, 3) of vectors (..., N, 3)."""
    # One product for each arm: one for each vector takes several times as long.
    rows = vector.expand(*vector.shape[:-2], *rotation.shape[:2]).movedim(-2, 0)
    turned = rows.reshape(len(rotation), -1, 3) @ rotation.mT
    return turned.view(rows.shape).movedim(0, -2)


def tcp_in_world(state: FrankaState, bases: BaseFrames) -> Tensor:
    """The TCPs' positions (B, N, 3), world frame [m]."""
    return bases.points_to_world(forward_kinematics(state.joint_position)[0])
