"""The environment of ``franka-handoff``: full arm physics with contacts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import NoiseSource
from codi_core.tasks import Environment, EpisodeKey, Step
from codi_franka.action import RATE_HZ, actuator_targets
from codi_franka.geometry import quaternion_exp
from codi_franka.handoff.options import SUCCESS_RADIUS, HandoffOptions
from codi_franka.handoff.sensors import SensorReadings, instrumented_model
from codi_franka.handoff.starts import ARMS, left_only, sample_start
from codi_franka.observation import observe
from codi_franka.perception import NO_NOISE, CubeNoise
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.variation import CubeVariation, vary_cube
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.layout import CUBE_SIZE
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.separation import SeparationGuard
from codi_franka.state import BaseFrames, FrankaState, hands_in_base, tcp_in_world

FALLEN = -0.05
"""[m] A cube that low has left the table."""

_NOISE_STREAM, _START_STREAM = 2**31, 2**31 + 1
"""Keep the environment's random streams apart from those of planning (0, 1, 2, …)."""


class FrankaEnvironment(Environment):
    """Two arms, a table and a cube; B worlds in MuJoCo.

    Events, besides ``failed`` and ``succeeded`` (the cube has come within 15 cm of the goal):
    ``goal_distance_m``, ``arm_contact``, ``hand_distance_m``, ``cube_touched``,
    ``cube_speed_m_s``, ``left_only`` (B,), ``cube_position`` (B, 3), ``cube_quaternion`` (B, 4),
    ``hand_position`` (B, 2, 3), ``joint_position`` (B, 2, 7), ``gripper_width`` (B, 2), ``goal``
    (B, 3).

    Args:
        options: the task's options.
        threads: physics threads, 0 for all processors.
    """

    def __init__(self, options: HandoffOptions, threads: int = 0) -> None:
        self.options = options
        self.threads = threads
        self.model = instrumented_model(ARMS)
        self.sensors = SensorReadings(self.model)
        self.controller = EndEffectorController()
        self.bases = BaseFrames.of(ARMS)
        self.guard = SeparationGuard(self.bases) if options.guard else None
        self.goal = np.array([*options.goal, CUBE_SIZE / 2])
        self.noise = CubeNoise() if options.randomize else NO_NOISE

    def reset(self, episodes: Sequence[EpisodeKey]) -> Step:
        """Start one episode a world."""
        self.simulator = MujocoSimulator(ARMS, len(episodes), self.threads, self.model)
        self.streams = NoiseSource([(key.seed, key.episode, _NOISE_STREAM) for key in episodes])
        starts = torch.stack([self._start(key) for key in episodes])
        self.left_only = left_only(starts[:, :2]).numpy()
        self.failed = np.zeros(len(episodes), dtype=bool)
        self.succeeded = np.zeros(len(episodes), dtype=bool)
        self.time = 0.0
        self.simulator.set_state(self._initial_state(starts))
        if self.options.randomize:
            self._vary()
        measured = self.simulator.batch.bind("sensordata")
        self.simulator.batch.forward()
        self.state = self.simulator.state()
        return self._observe(measured[:, None])

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an arm, (B, 7) each: TCP twist in the arm's base frame and width."""
        joint_action = torch.nan_to_num(torch.stack(actions, 1))
        if self.guard is not None:
            twist = self.controller.saturate(joint_action[..., :6])
            twist = self.guard.restrain(hands_in_base(self.state), twist)
            joint_action = torch.cat((twist, joint_action[..., 6:]), -1)
        targets = actuator_targets(self.controller, self.state.joint_position, joint_action)
        self.state, measured = self.simulator.step_and_measure(targets)
        self.time += 1 / RATE_HZ
        return self._observe(measured)

    def _observe(self, measured: NDArray[np.float64]) -> Step:
        state = self.state
        cube = state.cube_position.numpy()
        self.failed |= (cube[:, 2] < FALLEN) | ~self.simulator.valid
        goal_distance = np.linalg.norm(cube - self.goal, axis=-1)
        self.succeeded |= (goal_distance <= SUCCESS_RADIUS) & ~self.failed
        draw = self.streams.normal(6)
        estimate = self.noise.apply(state, (draw[:, :3], draw[:, 3:]))
        events = {
            "failed": self.failed.copy(),
            "succeeded": self.succeeded.copy(),
            "goal_distance_m": goal_distance,
            "arm_contact": self.sensors.arm_contact(measured).any(-1),
            "hand_distance_m": self.sensors.hand_distance(measured).min(-1),
            "cube_touched": self.sensors.cube_contact(measured)[:, -1],
            "cube_speed_m_s": state.cube_velocity[:, :3].norm(dim=-1).numpy(),
            "left_only": self.left_only,
            "cube_position": cube,
            "cube_quaternion": state.cube_quaternion.numpy(),
            "hand_position": tcp_in_world(state, self.bases).numpy(),
            "joint_position": state.joint_position.numpy(),
            "gripper_width": state.gripper_width.numpy(),
            "goal": np.broadcast_to(self.goal, (len(cube), 3)),
        }
        return Step(self.time, estimate, observe(estimate, ARMS), events)

    def _start(self, key: EpisodeKey) -> Tensor:
        if self.options.start is not None:
            return torch.tensor(self.options.start)
        mixed = np.random.SeedSequence([key.seed, key.episode, _START_STREAM])
        generator = torch.Generator().manual_seed(int(mixed.generate_state(1)[0]))
        return sample_start(self.options.goal, generator)

    @staticmethod
    def _initial_state(starts: Tensor) -> FrankaState:
        worlds = len(starts)
        height = torch.full((worlds, 1), CUBE_SIZE / 2)
        turn = torch.cat((torch.zeros(worlds, 2), starts[:, 2:]), -1)
        return FrankaState(
            joint_position=torch.tensor(HOME).expand(worlds, len(ARMS), 7),
            joint_velocity=torch.zeros(worlds, len(ARMS), 7),
            gripper_width=torch.full((worlds, len(ARMS)), MAX_WIDTH),
            cube_position=torch.cat((starts[:, :2], height), -1),
            cube_quaternion=quaternion_exp(turn),
            cube_velocity=torch.zeros(worlds, 6),
        )

    def _vary(self) -> None:
        draw = self.streams.uniform(2).numpy().astype(np.float64)
        vary_cube(self.simulator, *CubeVariation().sample(draw.T))
