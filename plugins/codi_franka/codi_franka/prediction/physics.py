"""A predictor with full physics: nominal parameters, from the state estimate."""

from __future__ import annotations

import attrs
import mujoco
import numpy as np
import torch
from torch import Tensor

from codi_core.predictors import Prediction, Predictor
from codi_franka.geometry import quaternion_from_matrix, quaternion_multiply
from codi_franka.physics.mujoco_simulator import Configuration, MujocoSimulator
from codi_franka.prediction.nominal import build_nominal_model
from codi_franka.prediction.trajectory import HandoffTrajectory, goals
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import NUM_JOINTS, forward_kinematics
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.state import FrankaState
from codi_franka.workspace import stays_known


class MujocoPredictor(Predictor):
    """Simulates all samples of all worlds, one simulator call for each control step.

    The parameters are nominal: the environment's cube may weigh more or slip more. MuJoCo works on
    the CPU: states and chunks are fetched from their device, and trajectories are put there.

    Args:
        arms: the arms' names, in the order of the agents.
        threads: how many simulations run at once; 0 for all processors.
        model: what is simulated; without one, the light model that plans are made on.
    """

    def __init__(
        self, arms: tuple[str, ...], threads: int = 1, model: mujoco.MjModel | None = None
    ) -> None:
        self.arms = arms
        self.threads = threads
        self.model = model if model is not None else build_nominal_model(arms)
        self.bases = BaseFrames.of(arms)
        # One solve: joints at a limit stop, and others don't take over. The forecast becomes a
        # little worse, at 1.6 s and where the cube moves most, and a fifth of the time is saved.
        self.controller = EndEffectorController(passes=1)
        self._simulator: MujocoSimulator | None = None

    def predict(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> Prediction:
        """Roll all samples out.

        A sample is marked invalid if its simulation diverges, and if it leads to what the costs of
        Table I don't mind but nothing repairs: a cube beside the table, which no arm picks up, or
        a hand further away than demonstrations were, whose policy knows no way back.

        Args:
            state: the state estimate of B worlds, with their goals.
            chunks: (B, M, K, 7) an arm, each in its arm's base frame.

        Raises:
            SpecificationError: the state has no goals.
        """
        like = chunks[0]
        state, chunks = self._fetched(state, chunks)
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
        cube = path.cube_position()

        def quaternions() -> Tensor:
            turned = quaternion_multiply(self.bases.quaternion, quaternion_from_matrix(rotation))
            return turned.to(like)

        trajectory = HandoffTrajectory(
            hand_position=self.bases.points_to_world(position).to(like),
            gripper_width=path.gripper_width().to(like),
            cube_position=cube.to(like),
            goal=goals(state).to(like),
            hand_quaternion=quaternions,
        )
        sound = torch.from_numpy(simulator.valid.copy()).unflatten(0, (worlds, samples))
        # Only beside the table can a cube's centre be below the table's top.
        kept = (cube[..., 2] > 0.0).all(-1)
        known = stays_known(position, forward_kinematics(state.joint_position)[0])
        return Prediction(trajectory, (sound & kept & known).to(like.device))

    def advance(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> FrankaState:
        """The state after the worlds have followed ``chunks``, (B, c, 7) an arm."""
        if not chunks[0].shape[1]:
            return state
        start, chunks = self._fetched(state, chunks)
        simulator = self._ready(state.worlds)
        simulator.set_state(start)
        widened = tuple(chunk.unsqueeze(1) for chunk in chunks)
        self._roll_out(simulator, start.joint_position, widened)
        later = attrs.evolve(simulator.state(), goal=start.goal)
        return later.to(state.cube_position.device, state.cube_position.dtype)

    def _fetched(
        self, state: FrankaState, chunks: tuple[Tensor, ...]
    ) -> tuple[FrankaState, tuple[Tensor, ...]]:
        """The same on the CPU, in single precision."""
        return state.to("cpu"), tuple(chunk.to("cpu", torch.float32) for chunk in chunks)

    def _roll_out(
        self, simulator: MujocoSimulator, joint_position: Tensor, chunks: tuple[Tensor, ...]
    ) -> Configuration:
        """Follow the chunks; returns the configurations, (B·M, K, nq)."""
        actions = torch.stack(chunks, 3).flatten(0, 1)  # (B·M, K, N, 7)
        # What needs no state is done for all steps at once: small operations take their time.
        twists = self.controller.saturate(actions[..., :6]).unbind(1)
        widths = actions[..., 6:].clamp(0.0, MAX_WIDTH).unbind(1)
        path = []
        for twist, width in zip(twists, widths, strict=True):
            position = joint_position.reshape(-1, NUM_JOINTS)
            velocity = self.controller.resolve(position, twist.flatten(0, 1))
            targets = torch.cat((velocity.view_as(joint_position), width), -1).flatten(-2)
            simulator.hold(targets, simulator.substeps)
            now = simulator.configuration()
            joint_position = torch.nan_to_num(now.joint_position())
            path.append(now.qpos)
        return Configuration(np.stack(path, 1), simulator.index)

    def _ready(self, copies: int) -> MujocoSimulator:
        if self._simulator is None or self._simulator.copies != copies:
            self._simulator = MujocoSimulator(self.arms, copies, self.threads, self.model)
        return self._simulator
