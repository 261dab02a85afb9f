r"""Batched forward kinematics and geometric Jacobian of the FR3's tool centre point, in torch.

With modified Denavit-Hartenberg parameters, joint ``i`` turns its frame by

.. math:: T_i(q_i) = R_x(\alpha_i)\, T_x(a_i)\, R_z(q_i)\, T_z(d_i),

every :math:`\alpha_i` of the FR3 is a multiple of 90 degrees, so that a joint's frame is updated
column by column without any 4x4 product. Everything is expressed in the arm's *base* frame.
"""

import math

import torch
from torch import Tensor

from codi_franka.robot.parameters import FLANGE_OFFSET, LINKS, TOOL_ANGLE, TOOL_OFFSET

NUM_JOINTS = len(LINKS)


def forward_kinematics(joint_position: Tensor) -> tuple[Tensor, Tensor]:
    """Pose of the TCP.

    Args:
        joint_position: (..., 7) [rad].

    Returns:
        The position (..., 3) [m] and the rotation matrix (..., 3, 3) of the TCP in the base frame.
        The TCP's z axis points out of the hand, and its y axis is the fingers' closing axis.
    """
    position, rotation, _, _, _ = _chain(joint_position)
    return position, rotation


def jacobian(joint_position: Tensor) -> Tensor:
    """Geometric Jacobian of the TCP: (..., 6, 7), linear [m/rad] above angular [rad/rad] rows.

    Args:
        joint_position: (..., 7) [rad].

    Returns:
        J with ``twist = J @ joint_velocity``, the twist at the TCP in the base frame.
    """
    return pose_and_jacobian(joint_position)[2]


def pose_and_jacobian(joint_position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Position (..., 3), rotation (..., 3, 3) and Jacobian (..., 6, 7) of the TCP at once.

    Args:
        joint_position: (..., 7) [rad].
    """
    position, rotation, origins, axes, _ = _chain(joint_position)
    axis = torch.stack(axes, dim=-1)  # (..., 3, 7)
    lever = position.unsqueeze(-1) - torch.stack(origins, dim=-1)
    linear = torch.linalg.cross(axis, lever, dim=-2)
    return position, rotation, torch.cat((linear, axis), dim=-2)


def curvature(model: Tensor, damping: float = 0.0) -> Tensor:
    r"""The bilinear form H (..., 3, 6, 6) of the TCP's acceleration at constant joint velocities.

    Joint velocities that realise a twist v accelerate the TCP by
    :math:`\dot J \dot q = v^\top H v`. With the joints' axes :math:`z_i` and the Jacobian's linear
    columns :math:`J_j`, the position's second derivatives are
    :math:`z_{\min(i,j)} \times J_{\max(i,j)}`.

    Args:
        model: (..., 6, 7), the TCP's Jacobian.
        damping: of the pseudo-inverse that turns twists into joint velocities.
    """
    shape = (*model.shape[:-2], 3, NUM_JOINTS, NUM_JOINTS)
    axes, columns = model[..., 3:, :, None].expand(shape), model[..., :3, None, :].expand(shape)
    pairs = torch.linalg.cross(axes, columns, dim=-3)
    second = pairs.triu() + pairs.triu(1).mT
    gram = model @ model.mT + damping**2 * torch.eye(6, dtype=model.dtype, device=model.device)
    # Without the check for a singular matrix, for which a GPU would be waited for: none is damped.
    inverse = torch.linalg.solve_ex(gram, model).result.mT.unsqueeze(-3)  # (..., 1, 7, 6)
    return inverse.mT @ second @ inverse


def joint_origins(joint_position: Tensor) -> Tensor:
    """Origins of the seven joint frames and of the TCP in the base frame: (..., 8, 3) [m].

    Args:
        joint_position: (..., 7) [rad].
    """
    position, _, origins, _, _ = _chain(joint_position)
    return torch.stack((*origins, position), dim=-2)


def link_frames(joint_position: Tensor) -> Tensor:
    """The frames of the base and the seven links in the base frame: (..., 8, 3, 4).

    Columns are the frame's axes x, y, z and its origin [m].

    Args:
        joint_position: (..., 7) [rad].
    """
    _, _, origins, z_axes, x_axes = _chain(joint_position)
    x, z = torch.stack(x_axes, -2), torch.stack(z_axes, -2)
    links = torch.stack((x, torch.linalg.cross(z, x), z, torch.stack(origins, -2)), -1)
    base = torch.eye(3, 4, dtype=links.dtype, device=links.device)
    return torch.cat((base.expand(*links.shape[:-3], 1, 3, 4), links), -3)


def _chain(q: Tensor) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """Walk along the arm.

    Returns:
        The TCP's position and rotation, and each joint's origin, axis and x axis.
    """
    if q.shape[-1] != NUM_JOINTS:
        raise ValueError(f"joint_position must be (..., {NUM_JOINTS}), not {tuple(q.shape)}")
    # A turn about z multiplies the plane x + iy of the frame's x and y axes by exp(-iq): a third of
    # the operations, whose number counts more than their size where few arms are asked about.
    turns = torch.polar(torch.ones_like(q), -q).unsqueeze(-1).unbind(-2)
    identity = torch.eye(3, dtype=q.dtype, device=q.device).expand(*q.shape[:-1], 3, 3)
    x, y, z = identity.unbind(-1)  # the frame's axes, each (..., 3)
    origin = torch.zeros_like(x)
    origins, axes, x_axes = [], [], []
    for link, turn in zip(LINKS, turns, strict=True):
        if link.a:
            origin = origin.add(x, alpha=link.a)
        y, z = _turn_about_x(y, z, link.alpha)
        if link.d:
            origin = origin.add(z, alpha=link.d)
        plane = torch.complex(x, y) * turn
        x, y = plane.real, plane.imag
        origins.append(origin)
        axes.append(z)
        x_axes.append(x)
    position = origin.add(z, alpha=FLANGE_OFFSET + TOOL_OFFSET)
    # Not complex: products of whole blocks and those of what is left over are rounded differently.
    cos, sin = math.cos(TOOL_ANGLE), math.sin(TOOL_ANGLE)
    x, y = (cos * x).add(y, alpha=sin), (cos * y).sub(x, alpha=sin)
    return position, torch.stack((x, y, z), dim=-1), origins, axes, x_axes


def _turn_about_x(y: Tensor, z: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Columns y, z of ``R Rx(alpha)`` for an alpha of 0 or +-90 degrees, exactly."""
    if alpha == 0.0:
        return y, z
    return (z, -y) if alpha > 0 else (-z, y)
