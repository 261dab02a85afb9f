"""A predictor with full physics: nominal parameters, from the state estimate."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.predictors import Prediction, Predictor
from codi_franka.geometry import quaternion_from_matrix, quaternion_multiply
from codi_franka.physics.rollouts import Rollouts, RolloutsMaker
from codi_franka.prediction.trajectory import HandoffTrajectory, goals
from codi_franka.robot.cell import CUBE_SIZE
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.state import FrankaState
from codi_franka.workspace import stays_known

SUNK = -CUBE_SIZE
"""[m] Only beside the table can a cube's centre be lower. A cube that falls on it sinks in by as
much as it falls in a physics step, before it is pushed out again."""


class PhysicsPredictor(Predictor):
    """Rolls all samples of all worlds out at once, in any simulator.

    The parameters are nominal: the environment's cube may weigh more or slip more. States and
    chunks are fetched to the simulator's device, and trajectories are put where the chunks are.

    Args:
        arms: the arms' names, in the order of the agents.
        make_rollouts: makes what rolls out; see :func:`codi_franka.physics.rollouts.rollouts_of`.
    """

    def __init__(self, arms: tuple[str, ...], make_rollouts: RolloutsMaker) -> None:
        self.arms = arms
        self.make_rollouts = make_rollouts
        self._rollouts: Rollouts | None = None
        self._bases = BaseFrames.of(arms)

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
        worlds, samples = like.shape[:2]
        rollouts = self._ready(worlds * samples)
        state, actions = _fetched(rollouts.device, state, chunks)
        followed = rollouts.follow(state.repeat(samples), actions.flatten(0, 1))
        bases = self._bases
        joints, width, cube, sound = (
            part.unflatten(0, (worlds, samples))
            for part in (
                followed.joint_position,
                followed.gripper_width,
                followed.cube_position,
                followed.valid,
            )
        )
        position, rotation = forward_kinematics(joints)

        def quaternions() -> Tensor:
            turned = quaternion_multiply(bases.quaternion, quaternion_from_matrix(rotation))
            return turned.to(like)

        trajectory = HandoffTrajectory(
            hand_position=bases.points_to_world(position).to(like),
            gripper_width=width.to(like),
            cube_position=cube.to(like),
            goal=goals(state).to(like),
            hand_quaternion=quaternions,
        )
        kept = (cube[..., 2] > SUNK).all(-1)
        known = stays_known(position, forward_kinematics(state.joint_position)[0])
        return Prediction(trajectory, (sound & kept & known).to(like.device))

    def advance(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> FrankaState:
        """The state after the worlds have followed ``chunks``, (B, c, 7) an arm."""
        if not chunks[0].shape[1]:
            return state
        rollouts = self._ready(state.worlds)
        start, actions = _fetched(rollouts.device, state, chunks)
        later = attrs.evolve(rollouts.follow(start, actions).last, goal=start.goal)
        return later.to(state.cube_position.device, state.cube_position.dtype)

    def _ready(self, copies: int) -> Rollouts:
        if self._rollouts is None or self._rollouts.copies != copies:
            self._rollouts = self.make_rollouts(self.arms, copies)
            self._bases = BaseFrames.of(self.arms, self._rollouts.device)
        return self._rollouts


def _fetched(
    device: str, state: FrankaState, chunks: tuple[Tensor, ...]
) -> tuple[FrankaState, Tensor]:
    """The same on the device, in single precision; the actions as one, (..., K, N, 7)."""
    there = [chunk.to(device, torch.float32) for chunk in chunks]
    return state.to(device), torch.stack(there, -2)
