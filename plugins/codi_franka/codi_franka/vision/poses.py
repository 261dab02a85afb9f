"""Rigid motions as 4x4 matrices, and the forms that others take them in."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]


def matrix(rotation: ArrayLike, position: ArrayLike) -> Array:
    """(4, 4) of a rotation matrix (3, 3) and a position (3,) [m]."""
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, position
    return result


def inverse(motion: Array) -> Array:
    """The inverse of rigid motions (..., 4, 4)."""
    turned = np.swapaxes(motion[..., :3, :3], -1, -2)
    result = np.zeros_like(motion)
    result[..., :3, :3] = turned
    result[..., :3, 3] = -(turned @ motion[..., :3, 3:])[..., 0]
    result[..., 3, 3] = 1.0
    return result


def from_pose(pose: ArrayLike) -> Array:
    """(4, 4) of a position [m] and a quaternion wxyz, (7,)."""
    values = np.asarray(pose, float)
    turn = Rotation.from_quat(values[3:], scalar_first=True)
    return matrix(turn.as_matrix(), values[:3])


def to_pose(motion: Array) -> Array:
    """Position [m] and quaternion wxyz, real part not negative, (7,), of (4, 4)."""
    turn = Rotation.from_matrix(motion[:3, :3])
    return np.concatenate(
        (motion[:3, 3], turn.as_quat(canonical=True, scalar_first=True)), dtype=float
    )


def exp(vector: ArrayLike) -> Array:
    """The rotation matrix (3, 3) of a rotation vector (3,) [rad]."""
    return Rotation.from_rotvec(np.asarray(vector, float)).as_matrix()


def log(rotation: Array) -> Array:
    """The rotation vectors (..., 3) [rad] of rotation matrices (..., 3, 3)."""
    return Rotation.from_matrix(rotation).as_rotvec()


def moved(motion: Array, step: ArrayLike) -> Array:
    """A pose (4, 4) after a small step (6,): position [m] and rotation vector [rad], world frame.

    The rotation is about the pose's own origin.
    """
    values = np.asarray(step, float)
    return matrix(exp(values[3:]) @ motion[:3, :3], motion[:3, 3] + values[:3])


def difference(motion: Array, reference: Array) -> Array:
    """The step (6,) that takes ``reference`` to ``motion``, as :func:`moved` takes it."""
    return np.concatenate(
        (motion[:3, 3] - reference[:3, 3], log(motion[:3, :3] @ reference[:3, :3].T))
    )


def skew(vector: Array) -> Array:
    """The matrices (..., 3, 3) with ``skew(a) @ b = a × b``."""
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = np.zeros_like(x)
    rows = (zero, -z, y, z, zero, -x, -y, x, zero)
    return np.stack(rows, -1).reshape(*vector.shape[:-1], 3, 3)
