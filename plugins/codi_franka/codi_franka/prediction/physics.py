"""A predictor with full physics: nominal parameters, from the state estimate."""

from __future__ import annotations

import attrs
import numpy as np
import torch
from torch import Tensor

from codi_core.predictors import Prediction, Predictor
from codi_franka.action import actuator_targets
from codi_franka.geometry import quaternion_from_matrix, quaternion_multiply
from codi_franka.physics.mujoco_simulator import Configuration, MujocoSimulator
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.state import BaseFrames, FrankaState


class MujocoPredictor(Predictor):
    """Simulates all samples of all worlds, one simulator call for each control step.

    The parameters are nominal: the environment's cube may weigh more or slip more.

    Args:
        arms: the arms' names, in the order of the agents.
        goal: (3,) [m], world frame; passed on to the trajectory.
        threads: how many simulations run at once; 0 for all processors.
    """

    def __init__(self, arms: tuple[str, ...], goal: Tensor, threads: int = 0) -> None:
        self.arms = arms
        self.goal = goal
        self.threads = threads
        self.bases = BaseFrames.of(arms)
        self.controller = EndEffectorController()
        self._simulator: MujocoSimulator | None = None

    def predict(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> Prediction:
        """Roll all samples out; a sample whose simulation diverges is marked invalid.

        Args:
            state: the state estimate of B worlds.
            chunks: (B, M, K, 7) an arm, each in its arm's base frame.
        """
        worlds, samples = chunks[0].shape[:2]
        simulator = self._ready(worlds * samples)
        repeated = state.repeat(samples)
        simulator.set_state(repeated)
        path = self._roll_out(simulator, repeated.joint_position, chunks)
        simulator.state()  # marks what diverged
        path = attrs.evolve(
            path, qpos=np.nan_to_num(path.qpos).reshape(worlds, samples, -1, path.qpos.shape[-1])
        )
        position, rotation = forward_kinematics(path.joint_position())

        def quaternions() -> Tensor:
            return quaternion_multiply(self.bases.quaternion, quaternion_from_matrix(rotation))

        trajectory = HandoffTrajectory(
            hand_position=self.bases.points_to_world(position),
            gripper_width=path.gripper_width(),
            cube_position=path.cube_position(),
            goal=self.goal,
            hand_quaternion=quaternions,
        )
        valid = torch.from_numpy(simulator.valid.copy()).unflatten(0, (worlds, samples))
        return Prediction(trajectory, valid)

    def advance(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> FrankaState:
        """The state after the worlds have followed ``chunks``, (B, c, 7) an arm."""
        if not chunks[0].shape[1]:
            return state
        simulator = self._ready(state.worlds)
        simulator.set_state(state)
        widened = tuple(chunk.unsqueeze(1) for chunk in chunks)
        self._roll_out(simulator, state.joint_position, widened)
        return simulator.state()

    def _roll_out(
        self, simulator: MujocoSimulator, joint_position: Tensor, chunks: tuple[Tensor, ...]
    ) -> Configuration:
        """Follow the chunks; returns the configurations, (B·M, K, nq)."""
        actions = torch.stack(chunks, 3).flatten(0, 1)  # (B·M, K, N, 7)
        path = []
        for step in range(actions.shape[1]):
            targets = actuator_targets(self.controller, joint_position, actions[:, step])
            simulator.hold(targets, simulator.substeps)
            now = simulator.configuration()
            joint_position = torch.nan_to_num(now.joint_position())
            path.append(now.qpos)
        return Configuration(np.stack(path, 1), simulator.index)

    def _ready(self, copies: int) -> MujocoSimulator:
        if self._simulator is None or self._simulator.copies != copies:
            self._simulator = MujocoSimulator(self.arms, copies, self.threads)
        return self._simulator
