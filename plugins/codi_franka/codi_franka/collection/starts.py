"""Where arms and cubes start in demonstrations, and where cubes jump to."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.planning import NoiseSource
from codi_franka.collection.script import Script
from codi_franka.collection.settings import CollectionSettings
from codi_franka.geometry import quaternion_exp
from codi_franka.robot.cell import CUBE_SIZE
from codi_franka.robot.clearance import arm_clearance, arm_points
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.reach import MAX_BEARING, MIN_RADIUS, follow
from codi_franka.state import FrankaState


class Starts:
    """Draws states to start from and places to jump to, for n worlds.

    Args:
        script: what is demonstrated.
        noise: one stream a world.
        settings: what varies.
    """

    def __init__(self, script: Script, noise: NoiseSource, settings: CollectionSettings) -> None:
        self.script, self.noise, self.settings = script, noise, settings
        self.bases = BaseFrames.of(script.arms)
        self.controller = EndEffectorController(thrifty=False)

    def cube_pose(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Random poses of the cube on the table in some worlds, world frame: (n, 3) and (n, 4)."""
        near = self.script.places(where)
        with self.noise.only(where):
            draw = self.noise.uniform(4)
        anywhere = torch.stack((-0.2 + 1.7 * draw[:, 0], -0.55 + 1.1 * draw[:, 1]), -1)
        beyond = (draw[:, 2] < self.settings.jump_anywhere).unsqueeze(-1)
        xy = torch.where(beyond, anywhere, near)
        flat = torch.cat((xy, torch.full((len(xy), 1), CUBE_SIZE / 2)), -1)
        first = BaseFrames.of(self.script.arms[:1])
        position = first.points_to_world(flat.unsqueeze(1))[:, 0]
        turn = torch.zeros(len(xy), 3)
        turn[:, 2] = 2 * torch.pi * draw[:, 3]
        return position, quaternion_exp(turn)

    def state(self, position: Tensor, quaternion: Tensor) -> FrankaState:
        """Random postures at rest, with cubes at poses (n, 3) and (n, 4), world frame."""
        joints = self._postures()
        worlds, arms = joints.shape[:2]
        return FrankaState(
            joint_position=joints,
            joint_velocity=torch.zeros(worlds, arms, 7),
            gripper_width=torch.full((worlds, arms), MAX_WIDTH),
            cube_position=position,
            cube_quaternion=quaternion,
            cube_velocity=torch.zeros(worlds, 6),
        )

    def _postures(self) -> Tensor:
        """Where the arms start, (n, N, 7): about the home posture, or with the hand anywhere."""
        arms = len(self.script.arms)
        spread = self.settings.start_spread * self.noise.normal(arms, 7)
        near_home = _clear_of_the_table(torch.tensor(HOME) + spread)
        anywhere = self.noise.uniform(arms, 1) < self.settings.start_anywhere
        return self._apart(torch.where(anywhere, self._postures_anywhere(), near_home))

    def _postures_anywhere(self) -> Tensor:
        """Postures (n, N, 7) whose hands are spread over and around the workspace."""
        draw = self.noise.uniform(len(self.script.arms), 4)
        radius = MIN_RADIUS + 0.1 + draw[..., 0] * (self.settings.start_radius - MIN_RADIUS - 0.1)
        bearing = (2 * draw[..., 1] - 1) * MAX_BEARING
        height = 0.10 + 0.35 * draw[..., 2]
        hand = torch.stack((radius * bearing.cos(), radius * bearing.sin(), height), -1)
        yaw = (draw[..., 3] - 0.5) * torch.pi / 2
        home = torch.tensor(HOME).expand(*hand.shape[:2], -1)
        return _clear_of_the_table(follow(self.controller, home, hand, yaw)[..., -1, :])

    def _apart(self, joints: Tensor) -> Tensor:
        """Let the arms (n, N, 7) of a world start at home where they would be too near."""
        if joints.shape[1] == 1:
            return joints
        points = arm_points(forward_kinematics(joints)[0])
        clearance = arm_clearance(self.bases.arms_to_world(points))
        near = clearance < self.settings.start_clearance
        return torch.where(near[:, None, None], torch.tensor(HOME), joints)


def _clear_of_the_table(joints: Tensor) -> Tensor:
    """Fall back to the home posture where a random one, (..., 7), is too low."""
    low = forward_kinematics(joints)[0][..., 2] < 0.12
    return torch.where(low.unsqueeze(-1), torch.tensor(HOME), joints)
