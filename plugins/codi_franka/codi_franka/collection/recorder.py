"""Runs the expert in physics and records what one arm saw and did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import NoiseSource, stream
from codi_core.policies import AgentView
from codi_core.tasks import EpisodeKey
from codi_franka.action import actuator_targets
from codi_franka.collection.expert import DRAWS, Expert, ExpertSettings
from codi_franka.geometry import quaternion_exp
from codi_franka.observation import ENVIRONMENT, STATE, observe
from codi_franka.perception import CubeNoise
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.variation import CubeVariation
from codi_franka.robot.cell import CUBE_SIZE
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.reach import MAX_BEARING, MIN_RADIUS, OUTER_RADIUS, follow
from codi_franka.state import FrankaState, hands_in_base, tensors
from codi_franka.workspace import sample_graspable

Frames = dict[str, NDArray[np.float32]]
"""One demonstration: named arrays (T, ...)."""

ARM = "left"
"""The arm that demonstrates; in base frames both are alike."""

_BLOCK = 64
"""A multiple of the numbers that a processor's vector instructions take in one turn of a loop."""
_CHANCES = 4
"""Random numbers that decide what happens to a demonstration in a step: a jump of the cube, and
when, for how long and how the gripper fumbles."""


@attrs.frozen
class CollectionSettings:
    """What the demonstrations vary."""

    steps: int = 500
    """Control steps of one demonstration."""
    jump_probability: float = 0.01
    """That the cube jumps to another place, at each step."""
    jump_anywhere: float = 0.2
    """The share of jumps and starts beyond the arm's reach."""
    action_noise: tuple[float, float] = (0.03, 0.12)
    """Standard deviation of slow disturbances of the executed (not the recorded) linear [m/s] and
    angular [rad/s] velocity: the expert is seen to recover from being off its path."""
    noise_memory: float = 0.85
    """How much of a disturbance lasts to the next step."""
    fumble_probability: float = 0.006
    """That a gripper starts to do something else than it is told, at each step: the expert is
    seen to open a hand that closed on nothing, and to fetch a cube that it lost."""
    fumble_closes: float = 0.75
    """The share of fumbles in which the gripper closes; in the others it opens."""
    fumble_steps: tuple[int, int] = (3, 12)
    """The shortest and the longest fumble, in control steps."""
    start_spread: float = 0.25
    """[rad] Standard deviation of the joints about the home posture at the start."""
    start_anywhere: float = 0.4
    """The share of demonstrations that start with the hand anywhere above the table, even beyond
    the workspace: the expert is seen to come back from there."""
    start_radius: float = 0.87
    """[m] The farthest of these from the base's axis."""


class Recorder:
    """Demonstrations that run at once; each depends on its key and the settings alone, to the bit.

    How a number is rounded may depend on its place in a batch: what is left over at the end of a
    tensor, after the processor's vector instructions have taken whole blocks, is computed in
    another way. So the tensors have spare rows up to whole blocks; only physics, which is each
    world's own, does without.

    Args:
        episodes: one key a demonstration; those with even numbers pick, the others yield.
        threads: physics threads, 0 for all processors.
        settings: what varies.
    """

    def __init__(
        self,
        episodes: Sequence[EpisodeKey],
        threads: int = 0,
        settings: CollectionSettings | None = None,
    ) -> None:
        self.settings = settings or CollectionSettings()
        self.count = len(episodes)
        filled = [*episodes, *[episodes[-1]] * (-self.count % _BLOCK)]
        self.rows = len(filled)
        keys = [(key.seed, key.episode, stream("demonstration")) for key in filled]
        self.random = NoiseSource(keys)
        self.simulator = MujocoSimulator((ARM,), self.count, threads)
        self.controller = EndEffectorController(thrifty=False)
        self.bases = BaseFrames.of((ARM,))
        self.tracking = CubeNoise()
        yields = torch.tensor([key.episode % 2 == 1 for key in filled])
        self.expert = Expert(yields, self.random, ExpertSettings())
        self._fumbling = torch.zeros(self.rows, dtype=torch.long)
        self._wrong_width = torch.zeros(self.rows)
        self._start()

    def run(self) -> Iterator[int]:
        """Run all steps, yielding how many are done; read :meth:`demonstrations` afterwards."""
        state = self._filled(self.simulator.state())
        disturbance = torch.zeros(self.rows, 6)
        recorded: dict[str, list[Tensor]] = {}
        for step, (normal, uniform) in enumerate(self._draws()):
            chances, choices = uniform.split((_CHANCES, DRAWS), -1)
            if step:
                state = self._jump(state, chances[:, 0])
            action = self._act(state, choices)
            for name, value in self._frame(state, action, normal[:, :6]).items():
                recorded.setdefault(name, []).append(value[: self.count])
            disturbance = self._disturb(disturbance, normal[:, 6:])
            width = self._fumble(action[:, 6:], chances[:, 1:])
            executed = torch.cat((action[:, :6] + disturbance, width), -1)
            targets = actuator_targets(self.controller, state.joint_position, executed.unsqueeze(1))
            simulated = self.simulator.step(targets[: self.count], self.simulator.substeps)
            state = self._filled(simulated.state)
            yield step + 1
        self._recorded = {name: torch.stack(values, 1).numpy() for name, values in recorded.items()}

    def demonstrations(self) -> Iterator[Frames | None]:
        """The recorded demonstrations, in order; None where the simulation diverged."""
        for world in range(self.count):
            if self.simulator.valid[world]:
                yield {name: value[world] for name, value in self._recorded.items()}
            else:
                yield None

    def _draws(self) -> Iterable[tuple[Tensor, Tensor]]:
        """What each step of all demonstrations takes: normal and uniform values, a row each."""
        steps = self.settings.steps
        normal = self.random.normal(steps, 12)
        uniform = self.random.uniform(steps, _CHANCES + DRAWS)
        return zip(*(draw.transpose(0, 1).contiguous() for draw in (normal, uniform)), strict=True)

    def _filled(self, state: FrankaState) -> FrankaState:
        """States of the demonstrations with spare rows."""
        numbers = torch.arange(self.rows).clamp_max(self.count - 1)
        return state.of_worlds(numbers)

    # -- one step -------------------------------------------------------------------------------

    def _act(self, state: FrankaState, choices: Tensor) -> Tensor:
        hands = hands_in_base(state)
        cube = self.bases.points_to_base(state.cube_position.unsqueeze(1))[:, 0]
        turned = self.bases.rotations_to_base(state.cube_quaternion.unsqueeze(1))[:, 0]
        width = state.gripper_width[:, 0]
        position, rotation = hands.position[:, 0], hands.rotation[:, 0]
        return self.expert.act(position, rotation, width, cube, turned, choices)

    def _frame(self, state: FrankaState, action: Tensor, draw: Tensor) -> dict[str, Tensor]:
        estimate = self.tracking.apply(state, draw)
        seen = AgentView(ARM)(observe(estimate, (ARM,)))
        frame = {STATE: seen[STATE], ENVIRONMENT: seen[ENVIRONMENT], "action": action}
        for name, value in tensors(state):
            frame[f"state.{name}"] = value.flatten(1)
        return frame

    def _disturb(self, disturbance: Tensor, draw: Tensor) -> Tensor:
        memory = self.settings.noise_memory
        linear, angular = self.settings.action_noise
        scale = torch.tensor([linear] * 3 + [angular] * 3) * (1 - memory**2) ** 0.5
        return memory * disturbance + scale * draw

    def _fumble(self, width: Tensor, draw: Tensor) -> Tensor:
        """The widths (n, 1) that the grippers really take up."""
        settings = self.settings
        shortest, longest = settings.fumble_steps
        begins = (self._fumbling <= 0) & (draw[:, 0] < settings.fumble_probability)
        length = shortest + ((longest - shortest + 1) * draw[:, 1]).long()
        self._fumbling = torch.where(begins, length, self._fumbling - 1)
        wrong = torch.where(draw[:, 2] < settings.fumble_closes, 0.0, MAX_WIDTH)
        self._wrong_width = torch.where(begins, wrong, self._wrong_width)
        return torch.where(self._fumbling > 0, self._wrong_width, width.squeeze(-1)).unsqueeze(-1)

    def _jump(self, state: FrankaState, draw: Tensor) -> FrankaState:
        jumps = draw < self.settings.jump_probability
        if not jumps.any():
            return state
        position, quaternion = self._cube_pose(jumps)
        moved = attrs.evolve(
            state,
            cube_position=torch.where(jumps.unsqueeze(-1), position, state.cube_position),
            cube_quaternion=torch.where(jumps.unsqueeze(-1), quaternion, state.cube_quaternion),
            cube_velocity=torch.where(jumps.unsqueeze(-1), 0.0, state.cube_velocity),
        )
        self.simulator.place_cube(moved, torch.nonzero(jumps[: self.count]).squeeze(-1))
        return moved

    # -- starts ---------------------------------------------------------------------------------

    def _start(self) -> None:
        position, quaternion = self._cube_pose(torch.ones(self.rows, dtype=torch.bool))
        cube = CubeVariation().sample(self.random.uniform(2)[: self.count])
        state = FrankaState(
            joint_position=self._postures().unsqueeze(1),
            joint_velocity=torch.zeros(self.rows, 1, 7),
            gripper_width=torch.full((self.rows, 1), MAX_WIDTH),
            cube_position=position,
            cube_quaternion=quaternion,
            cube_velocity=torch.zeros(self.rows, 6),
        )
        self.simulator.set_state(state.of_worlds(torch.arange(self.count)), cube=cube)

    def _postures(self) -> Tensor:
        """Where the arms start, (n, 7): about the home posture, or with the hand anywhere."""
        spread = self.settings.start_spread * self.random.normal(7)
        near_home = self._clear_of_the_table(torch.tensor(HOME) + spread)
        anywhere = self.random.uniform(1) < self.settings.start_anywhere
        return torch.where(anywhere, self._postures_anywhere(), near_home)

    def _postures_anywhere(self) -> Tensor:
        """Postures (n, 7) whose hands are spread over and around the workspace."""
        draw = self.random.uniform(4)
        radius = MIN_RADIUS + 0.1 + draw[:, 0] * (self.settings.start_radius - MIN_RADIUS - 0.1)
        bearing = (2 * draw[:, 1] - 1) * MAX_BEARING
        height = 0.10 + 0.35 * draw[:, 2]
        hand = torch.stack((radius * bearing.cos(), radius * bearing.sin(), height), -1)
        yaw = (draw[:, 3] - 0.5) * torch.pi / 2
        home = torch.tensor(HOME).expand(self.rows, -1)
        return self._clear_of_the_table(follow(self.controller, home, hand, yaw)[:, -1])

    @staticmethod
    def _clear_of_the_table(joints: Tensor) -> Tensor:
        """Fall back to the home posture where a random one is too low."""
        low = forward_kinematics(joints)[0][:, 2] < 0.12
        return torch.where(low.unsqueeze(-1), torch.tensor(HOME), joints)

    def _cube_pose(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Random poses of the cube on the table in some worlds, world frame: (n, 3) and (n, 4)."""
        near = sample_graspable(self.random, max_radius=OUTER_RADIUS, where=where)
        with self.random.only(where):
            draw = self.random.uniform(4)
        anywhere = torch.stack((-0.2 + 1.7 * draw[:, 0], -0.55 + 1.1 * draw[:, 1]), -1)
        beyond = (draw[:, 2] < self.settings.jump_anywhere).unsqueeze(-1)
        xy = torch.where(beyond, anywhere, near)
        flat = torch.cat((xy, torch.full((self.rows, 1), CUBE_SIZE / 2)), -1)
        position = self.bases.points_to_world(flat.unsqueeze(1))[:, 0]
        turn = torch.zeros(self.rows, 3)
        turn[:, 2] = 2 * torch.pi * draw[:, 3]
        return position, quaternion_exp(turn)
