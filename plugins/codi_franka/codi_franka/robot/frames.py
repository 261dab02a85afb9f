"""The arms' base frames in the world, and what hands look like from there."""

from __future__ import annotations

from functools import cache

import attrs
import torch
from torch import Tensor

from codi_franka.geometry import (
    quaternion_conjugate,
    quaternion_multiply,
    quaternion_to_matrix,
)
from codi_franka.robot.cell import ARM_BASES


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
