"""A simulator that is not MuJoCo: arms that follow their commands exactly, and no contacts."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_franka.physics.simulator import CubeProperties, HandoffSimulator, Simulated
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import FINGER_SPEED_LIMIT
from codi_franka.state import FrankaState

STEP = 0.05
"""[s]"""


class StandIn(HandoffSimulator):
    """Integrates joint velocities; a cube between closing fingers goes along with the hand."""

    substeps = 2

    def __init__(self, arms: tuple[str, ...], copies: int, device: str = "cpu") -> None:
        self.copies = copies
        self.device = device
        self.bases = BaseFrames.of(arms, device)
        self.masses = torch.full((copies,), float("nan"), dtype=torch.float64, device=device)
        now = FrankaState(
            joint_position=torch.zeros(copies, len(arms), 7),
            joint_velocity=torch.zeros(copies, len(arms), 7),
            gripper_width=torch.zeros(copies, len(arms)),
            cube_position=torch.zeros(copies, 3),
            cube_quaternion=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(copies, 4),
            cube_velocity=torch.zeros(copies, 6),
        )
        self.now = now.to(device)

    def set_state(
        self, state: FrankaState, rows: Tensor | None = None, cube: CubeProperties | None = None
    ) -> None:
        rows = self._numbers(rows)
        self.now = self._with(rows, state)
        if cube is not None:
            self.masses[rows] = cube.mass.to(self.device)

    def step(self, targets: Tensor, count: int, rows: Tensor | None = None) -> Simulated:
        rows = self._numbers(rows)
        state = self.now.of_worlds(rows)
        for _ in range(count):
            state = self._moved(state, targets.unflatten(-1, (-1, 8)))
        self.now = self._with(rows, state)
        hands = self._hands(state)
        return Simulated(
            state,
            valid=torch.ones(len(rows), dtype=torch.bool, device=self.device),
            arm_contact=torch.zeros(len(rows), dtype=torch.bool, device=self.device),
            cube_contact=self._held(state, hands).any(-1),
            hand_distance=(hands[:, 0] - hands[:, 1]).norm(dim=-1),
        )

    def _numbers(self, rows: Tensor | None) -> Tensor:
        there = torch.device(self.device)
        return torch.arange(self.copies, device=there) if rows is None else rows.to(there)

    def _moved(self, state: FrankaState, target: Tensor) -> FrankaState:
        before = self._hands(state)
        held = self._held(state, before)
        gap = target[..., 7] - state.gripper_width
        farthest = 2 * FINGER_SPEED_LIMIT * STEP
        moved = attrs.evolve(
            state,
            joint_position=state.joint_position + STEP * target[..., :7],
            joint_velocity=target[..., :7],
            gripper_width=state.gripper_width + gap.clamp(-farthest, farthest),
        )
        carried = ((self._hands(moved) - before) * held.unsqueeze(-1)).sum(1)
        return attrs.evolve(moved, cube_position=state.cube_position + carried)

    def _hands(self, state: FrankaState) -> Tensor:
        return self.bases.points_to_world(forward_kinematics(state.joint_position)[0])

    @staticmethod
    def _held(state: FrankaState, hands: Tensor) -> Tensor:
        near = (hands - state.cube_position.unsqueeze(1)).norm(dim=-1) < 0.03
        return near & (state.gripper_width < 0.05)

    def _with(self, rows: Tensor, state: FrankaState) -> FrankaState:
        fields = [field.name for field in attrs.fields(FrankaState) if field.name != "goal"]
        return FrankaState(
            **{
                name: getattr(self.now, name).index_copy(0, rows, getattr(state, name))
                for name in fields
            }
        )
