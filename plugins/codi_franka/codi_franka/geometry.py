"""Rotations in torch, batched over leading dimensions.

Quaternions are wxyz, of unit length, and rotate by ``q v q*``; ``q`` and ``-q`` are the same
rotation. A rotation vector is axis times angle [rad]. The 6-D representation holds the first two
columns of the rotation matrix (Zhou et al., 2019).
"""

from functools import cache

import torch
from torch import Tensor

_SMALL_ANGLE = 1e-4
"""[rad] Below this, series replace quotients that lose their digits."""


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """Numbers of the program as a tensor with the type and device of another.

    They are copied to a device once: each copy would wait for all that is queued there.
    """
    return _made(values, like.dtype, like.device)


@cache
@torch.inference_mode(False)  # it outlives the plan that asks first
def _made(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)


def quaternion_multiply(a: Tensor, b: Tensor) -> Tensor:
    """The rotation ``b`` followed by ``a``: (..., 4) and (..., 4) to (..., 4), wxyz."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        (
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ),
        dim=-1,
    )


def quaternion_conjugate(quaternion: Tensor) -> Tensor:
    """The inverse of a unit quaternion (..., 4), wxyz."""
    return torch.cat((quaternion[..., :1], -quaternion[..., 1:]), dim=-1)


def quaternion_rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotate vectors (..., 3) by quaternions (..., 4), wxyz; leading dimensions broadcast."""
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    twice = 2.0 * torch.linalg.cross(imaginary, vector, dim=-1)
    return vector + real * twice + torch.linalg.cross(imaginary, twice, dim=-1)


def quaternion_normalize(quaternion: Tensor) -> Tensor:
    """Scale (..., 4) to unit length, with a real part that is not negative."""
    unit = quaternion / torch.linalg.vector_norm(quaternion, dim=-1, keepdim=True)
    return torch.where(unit[..., :1] < 0, -unit, unit)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4), wxyz."""
    w, x, y, z = quaternion.unbind(-1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def quaternion_from_matrix(matrix: Tensor) -> Tensor:
    """Unit quaternions (..., 4), wxyz, real part not negative, of rotations (..., 3, 3).

    Four expressions exist, each of which divides by one component of the result; the one with the
    largest divisor is taken, so that no angle is badly conditioned (Shepperd, 1978).
    """
    m00, m11, m22 = matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 2, 2]
    squares = torch.stack(  # four times each component squared
        (1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22), -1
    )
    wx = matrix[..., 2, 1] - matrix[..., 1, 2]
    wy = matrix[..., 0, 2] - matrix[..., 2, 0]
    wz = matrix[..., 1, 0] - matrix[..., 0, 1]
    xy = matrix[..., 1, 0] + matrix[..., 0, 1]
    xz = matrix[..., 0, 2] + matrix[..., 2, 0]
    yz = matrix[..., 2, 1] + matrix[..., 1, 2]
    ww, xx, yy, zz = squares.unbind(-1)
    candidates = torch.stack(  # row i is four times the quaternion times its component i
        [
            torch.stack(row, dim=-1)
            for row in ((ww, wx, wy, wz), (wx, xx, xy, xz), (wy, xy, yy, yz), (wz, xz, yz, zz))
        ],
        dim=-2,
    )
    best = squares.argmax(dim=-1)[..., None, None].expand(*squares.shape[:-1], 1, 4)
    return quaternion_normalize(candidates.gather(-2, best).squeeze(-2))


def quaternion_exp(rotation_vector: Tensor) -> Tensor:
    """The exponential map: rotation vectors (..., 3) [rad] to quaternions (..., 4), wxyz."""
    angle = torch.linalg.vector_norm(rotation_vector, dim=-1, keepdim=True)
    safe = angle.clamp_min(_SMALL_ANGLE)
    scale = torch.where(angle < _SMALL_ANGLE, 0.5 - angle.square() / 48, torch.sin(safe / 2) / safe)
    return torch.cat((torch.cos(angle / 2), scale * rotation_vector), dim=-1)


def quaternion_log(quaternion: Tensor) -> Tensor:
    """The shortest rotation vectors (..., 3) [rad] of quaternions (..., 4), wxyz."""
    unit = torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    real, imaginary = unit[..., :1], unit[..., 1:]
    sine = torch.linalg.vector_norm(imaginary, dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sine, real)
    safe = sine.clamp_min(_SMALL_ANGLE)
    scale = torch.where(sine < _SMALL_ANGLE, 2.0 / real.clamp_min(0.5), angle / safe)
    return scale * imaginary


def rotation_6d_from_matrix(matrix: Tensor) -> Tensor:
    """The first two columns, one after the other: (..., 3, 3) to (..., 6)."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def rotation_6d_to_matrix(rotation_6d: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of any two independent columns (..., 6), by Gram-Schmidt."""
    first, second = rotation_6d[..., :3], rotation_6d[..., 3:]
    x = torch.nn.functional.normalize(first, dim=-1)
    y = torch.nn.functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack((x, y, torch.linalg.cross(x, y, dim=-1)), dim=-1)


def rotation_error(target: Tensor, current: Tensor) -> Tensor:
    """The rotation vector (..., 3) [rad], in the fixed frame, that turns ``current`` to ``target``.

    Args:
        target: rotation matrices (..., 3, 3).
        current: rotation matrices (..., 3, 3).
    """
    return quaternion_log(quaternion_from_matrix(target @ current.transpose(-1, -2)))
