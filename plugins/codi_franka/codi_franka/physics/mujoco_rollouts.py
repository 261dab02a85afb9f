"""Rollouts in MuJoCo on the CPU: positions are copied at each control step and decoded later."""

from __future__ import annotations

import attrs
import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_franka.physics.model_index import ModelIndex
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.nominal import build_nominal_model
from codi_franka.physics.rollouts import Commands, Followed, Rollouts
from codi_franka.state import FrankaState


class MujocoRollouts(Rollouts):
    """n copies that are stepped on a thread pool.

    Args:
        arms: the arms' names, in the order of the state.
        copies: n.
        threads: how many simulations run at once; 0 for all processors.
        model: what is simulated; without one, the light model that plans are made on.
    """

    device = "cpu"

    def __init__(
        self,
        arms: tuple[str, ...],
        copies: int,
        threads: int = 1,
        model: mujoco.MjModel | None = None,
    ) -> None:
        self.copies = copies
        model = build_nominal_model(arms) if model is None else model
        self.simulator = MujocoSimulator(arms, copies, threads, model)

    def follow(self, state: FrankaState, actions: Tensor) -> Followed:
        """Follow the actions (see the base class)."""
        simulator, commands = self.simulator, Commands(actions)
        simulator.set_state(state)
        joints, path = state.joint_position, []
        for step in range(len(commands)):
            simulator.hold(commands.targets(step, joints), simulator.substeps)
            now = Configuration(simulator.positions(), simulator.index)
            joints = torch.nan_to_num(now.joint_position())
            path.append(now.qpos)
        last = simulator.state()  # marks what diverged
        whole = Configuration(np.nan_to_num(np.stack(path, 1)), simulator.index)
        return Followed(
            joint_position=whole.joint_position(),
            gripper_width=whole.gripper_width(),
            cube_position=whole.cube_position(),
            valid=torch.from_numpy(simulator.valid.copy()),
            last=last,
        )


@attrs.frozen(eq=False)
class Configuration:
    """Positions without velocities, cheap to copy at each step and to decode later.

    Attributes:
        qpos: (..., nq), as MuJoCo orders them.
        index: where they are.
    """

    qpos: NDArray[np.float32]
    index: ModelIndex

    def joint_position(self) -> Tensor:
        """(..., N, 7) [rad]."""
        return torch.from_numpy(self.qpos[..., self.index.joint_qpos])

    def gripper_width(self) -> Tensor:
        """(..., N) [m]."""
        return torch.from_numpy(self.qpos[..., self.index.finger_qpos].sum(-1))

    def cube_position(self) -> Tensor:
        """(..., 3) [m], world frame."""
        return torch.from_numpy(self.qpos[..., self.index.cube_qpos[:3]])
