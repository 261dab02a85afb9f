"""How close an arm comes to itself, beside its real parts."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_franka.robot import reach
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.kinematics import forward_kinematics, joint_origins, link_frames
from codi_franka.robot.parameters import (
    FLANGE_OFFSET,
    POSITION_LOWER,
    POSITION_UPPER,
    TOOL_OFFSET,
)
from codi_franka.robot.self_clearance import self_clearance

SAFE = 0.04
"""[m] What the safety layer keeps."""
MEETING = (
    (0.0, 1.4, -0.2, -3.0, 0.0, 1.0, 0.785),  # the forearm lies on the base
    (0.0, 1.1, 0.0, -2.8, 0.2, 2.1, 0.785),  # the hand is on the base
    (0.0, 0.6, -0.2, -3.0, -1.1, 1.5, 0.785),  # the forearm is on the shoulder
    (0.0, 0.6, 0.0, -3.0, 0.2, 0.7, 0.785),  # the hand is on the shoulder
    (0.0, -0.8, -0.3, -3.0, 0.7, 0.6, 0.785),  # the hand is on the upper arm
)


def postures(count: int, seed: int = 0) -> Tensor:
    """Random ones within the limits, (count, 7)."""
    generator = torch.Generator().manual_seed(seed)
    lower = torch.tensor(POSITION_LOWER, dtype=torch.float64)
    upper = torch.tensor(POSITION_UPPER, dtype=torch.float64)
    return lower + (upper - lower) * torch.rand(count, 7, generator=generator, dtype=lower.dtype)


def test_frames_are_those_of_the_chain() -> None:
    joints = postures(50)
    frames = link_frames(joints)
    origins = joint_origins(joints)
    torch.testing.assert_close(frames[:, 1:, :, 3], origins[:, :7])
    tool, rotation = forward_kinematics(joints)
    last = frames[:, 7]
    torch.testing.assert_close(last[..., 3] + (FLANGE_OFFSET + TOOL_OFFSET) * last[..., 2], tool)
    turned = last[..., :3].mT @ rotation
    assert turned[:, 0, 0] == pytest.approx(np.full(50, math.cos(math.pi / 4)))
    axes = frames[..., :3]
    torch.testing.assert_close(axes.mT @ axes, torch.eye(3, dtype=axes.dtype).expand_as(axes))
    assert axes.det() == pytest.approx(np.ones((50, 8)))


class RealParts:
    """The convex hulls of an FR3's published collision meshes."""

    def __init__(self, folder: Path) -> None:
        spec = find_spec("franky_sim")
        if spec is None or spec.origin is None:
            pytest.skip("needs the meshes of franky-sim")
        assets = Path(spec.origin).parent / "assets"
        root = ET.parse(assets / "fr3.xml").getroot()
        compiler = root.find("compiler")
        assert compiler is not None
        compiler.set("meshdir", str(assets / "meshes"))
        ET.ElementTree(root).write(folder / "fr3.xml")
        self.model = mujoco.MjModel.from_xml_path(str(folder / "fr3.xml"))
        self.data = mujoco.MjData(self.model)
        self.near = self._of("fr3_link0", "fr3_link1", "fr3_link2")
        self.far = self._of(
            "fr3_link5", "fr3_link6", "fr3_link7", "hand", "left_finger", "right_finger"
        )

    def _of(self, *bodies: str) -> list[int]:
        model = self.model
        return [
            geom
            for geom in range(model.ngeom)
            if model.geom_contype[geom] and model.body(model.geom_bodyid[geom]).name in bodies
        ]

    def gap(self, joints: Tensor, beyond: float = 0.2) -> float:
        """The smallest one [m] between parts that can meet, up to ``beyond``."""
        self.data.qpos[:7] = joints.numpy()
        mujoco.mj_kinematics(self.model, self.data)
        return min(
            mujoco.mj_geomDistance(self.model, self.data, one, other, beyond, np.zeros(6))
            for one in self.near
            for other in self.far
        )


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> RealParts:
    return RealParts(tmp_path_factory.mktemp("fr3"))


def test_real_parts_do_not_touch_where_capsules_are_apart(parts: RealParts) -> None:
    joints = postures(20_000)
    found = self_clearance(joints)
    near = (found > SAFE) & (found < SAFE + 0.02)
    assert near.sum() > 100
    assert min(parts.gap(each, 0.1) for each in joints[near]) > 0.0


def test_real_parts_are_near_where_capsules_touch(parts: RealParts) -> None:
    joints = postures(10_000)
    found = self_clearance(joints)
    touching = joints[(found < 0.0) & (found > -0.03)]
    gaps = np.array([parts.gap(each) for each in touching])
    assert len(gaps) > 50
    assert np.median(gaps) < 0.02
    assert gaps.max() < 0.14  # the last link's corner, which the capsule of the base rounds off


@pytest.mark.parametrize("joints", MEETING)
def test_postures_in_which_an_arm_hits_itself(parts: RealParts, joints: tuple[float, ...]) -> None:
    posture = torch.tensor(joints, dtype=torch.float64)
    assert self_clearance(posture) < 0.0
    assert parts.gap(posture) < 0.0


def test_arms_at_work_are_far_from_themselves() -> None:
    home = torch.tensor(HOME, dtype=torch.float64)
    assert self_clearance(home) == pytest.approx(0.176, abs=0.001)
    generator = torch.Generator().manual_seed(4)
    radius = reach.MIN_RADIUS + (reach.MAX_RADIUS - reach.MIN_RADIUS) * torch.rand(
        300, generator=generator, dtype=torch.float64
    )
    bearing = 3.8 * (torch.rand(300, generator=generator, dtype=torch.float64) - 0.5)
    height = 0.025 + 0.225 * torch.rand(300, generator=generator, dtype=torch.float64)
    points = torch.stack((radius * bearing.cos(), radius * bearing.sin(), height), -1)
    path = reach.follow(EndEffectorController(), home.expand(300, 7), points)
    lowest = self_clearance(path).amin(-1)
    assert (lowest > SAFE).double().mean() > 0.98


def test_every_posture_of_a_batch_counts_by_itself() -> None:
    joints = postures(24)
    many = self_clearance(joints.reshape(2, 3, 4, 7))
    assert many.shape == (2, 3, 4)
    one = torch.stack([self_clearance(each) for each in joints])
    torch.testing.assert_close(many.reshape(-1), one)
