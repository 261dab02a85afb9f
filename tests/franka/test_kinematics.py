"""Forward kinematics and Jacobian against MuJoCo and against finite differences."""

import mujoco
import numpy as np
import pytest
import torch

from codi_franka.geometry import rotation_error
from codi_franka.physics.model import build_model
from codi_franka.physics.model_index import ModelIndex
from codi_franka.robot.kinematics import (
    forward_kinematics,
    jacobian,
    joint_origins,
    pose_and_jacobian,
)
from codi_franka.robot.parameters import POSITION_LOWER, POSITION_UPPER


@pytest.fixture(scope="module")
def postures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    lower = torch.tensor(POSITION_LOWER, dtype=torch.float64)
    upper = torch.tensor(POSITION_UPPER, dtype=torch.float64)
    return lower + (upper - lower) * torch.rand(32, 7, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("arm", ["left", "right"])
def test_agrees_with_mujoco(postures: torch.Tensor, arm: str) -> None:
    model = build_model((arm,), cube=False)
    data, index = mujoco.MjData(model), ModelIndex.of(model).arms[0]
    position, rotation, jac = pose_and_jacobian(postures)
    linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    for i, posture in enumerate(postures):
        data.qpos[index.joint_qpos] = posture
        mujoco.mj_forward(model, data)
        base = data.xmat[model.body(f"{arm}/link0").id].reshape(3, 3)
        offset = data.xpos[model.body(f"{arm}/link0").id]
        at = base.T @ (data.site_xpos[index.tcp_site] - offset)
        np.testing.assert_allclose(position[i], at, atol=1e-9)
        turned = base.T @ data.site_xmat[index.tcp_site].reshape(3, 3)
        np.testing.assert_allclose(rotation[i], turned, atol=1e-9)
        mujoco.mj_jacSite(model, data, linear, angular, index.tcp_site)
        dofs = index.joint_qvel
        both = np.concatenate((base.T @ linear[:, dofs], base.T @ angular[:, dofs]))
        np.testing.assert_allclose(jac[i], both, atol=1e-9)


def test_jacobian_is_the_derivative(postures: torch.Tensor) -> None:
    step = 1e-6
    for joint in range(7):
        moved = postures.clone()
        moved[:, joint] += step
        before, after = forward_kinematics(postures), forward_kinematics(moved)
        linear = (after[0] - before[0]) / step
        angular = rotation_error(after[1], before[1]) / step
        column = jacobian(postures)[..., joint]
        torch.testing.assert_close(torch.cat((linear, angular), -1), column, atol=1e-5, rtol=0.0)


def test_batching_and_single_precision_change_nothing(postures: torch.Tensor) -> None:
    together = forward_kinematics(postures.reshape(4, 8, 7))[0]
    alone = torch.stack([forward_kinematics(posture)[0] for posture in postures])
    torch.testing.assert_close(together.reshape(-1, 3), alone)
    single = forward_kinematics(postures.float())[0]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), alone, atol=2e-6, rtol=0.0)


def test_origins_keep_the_links_lengths(postures: torch.Tensor) -> None:
    origins = joint_origins(postures)
    torch.testing.assert_close(origins[:, 1, 2], torch.full((32,), 0.333, dtype=torch.float64))
    gaps = torch.linalg.vector_norm(origins[:, 1:] - origins[:, :-1], dim=-1)[0]
    expected = [0.0, 0.316, 0.0825, (0.384**2 + 0.0825**2) ** 0.5, 0.0, 0.088, 0.2104]
    torch.testing.assert_close(gaps, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(origins[:, -1], forward_kinematics(postures)[0])


def test_wrong_number_of_joints_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., 7\), not \(2, 6\)"):
        forward_kinematics(torch.zeros(2, 6))
