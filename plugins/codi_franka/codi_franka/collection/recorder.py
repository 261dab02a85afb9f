"""Runs a script in physics and records what its arms saw and did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import NoiseSource, stream
from codi_core.tasks import EpisodeKey
from codi_franka.action import actuator_targets
from codi_franka.collection.frames import single_arm_frame
from codi_franka.collection.script import FrameMaker, ScriptMaker
from codi_franka.collection.settings import CollectionSettings
from codi_franka.collection.single_arm import SingleArm
from codi_franka.collection.starts import Starts
from codi_franka.observation import observe
from codi_franka.perception import CubeNoise
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.sensors import instrumented_model
from codi_franka.physics.variation import CubeVariation
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.separation import SeparationGuard
from codi_franka.state import FrankaState, hands_in_base

Frames = dict[str, NDArray[np.float32]]
"""One demonstration: named arrays (T, ...)."""

_BLOCK = 64
"""A multiple of the numbers that a processor's vector instructions take in one turn of a loop."""
_JUMP, _FUMBLE = 1, 3
"""Random numbers that decide in a step whether the cube jumps, and for each gripper when, for how
long and how it fumbles."""


class Recorder:
    """Demonstrations that run at once; each depends on its key and the settings alone, to the bit.

    How a number is rounded may depend on its place in a batch: what is left over at the end of a
    tensor, after the processor's vector instructions have taken whole blocks, is computed in
    another way. So the tensors have spare rows up to whole blocks; only physics, which is each
    world's own, does without.

    Several arms are kept apart by the guard that the task's plant has, too.

    Args:
        episodes: one key a demonstration.
        threads: physics threads, 0 for all processors.
        settings: what varies.
        make_script: what is demonstrated.
        make_frame: what is recorded.

    Attributes:
        script: what is demonstrated.
        contacts: (n,), in how many steps arms have touched each other so far.
    """

    def __init__(
        self,
        episodes: Sequence[EpisodeKey],
        threads: int = 0,
        settings: CollectionSettings | None = None,
        make_script: ScriptMaker = SingleArm,
        make_frame: FrameMaker = single_arm_frame,
    ) -> None:
        self.settings = settings or CollectionSettings()
        self.count = len(episodes)
        filled = [*episodes, *[episodes[-1]] * (-self.count % _BLOCK)]
        self.rows = len(filled)
        keys = [(key.seed, key.episode, stream("demonstration")) for key in filled]
        self.random = NoiseSource(keys)
        self.script, self.make_frame = make_script(filled, self.random), make_frame
        arms = self.arms = self.script.arms
        # One arm touches none.
        model = instrumented_model(arms) if len(arms) > 1 else None
        self.simulator = MujocoSimulator(arms, self.count, threads, model)
        self.controller = EndEffectorController(thrifty=False)
        self.guard = SeparationGuard(BaseFrames.of(arms)) if len(arms) > 1 else None
        self.tracking = CubeNoise()
        self.starts = Starts(self.script, self.random, self.settings)
        self.contacts = torch.zeros(self.count, dtype=torch.long)
        self._fumbling = torch.zeros(self.rows, len(arms), dtype=torch.long)
        self._wrong_width = torch.zeros(self.rows, len(arms))
        self._start()

    def run(self) -> Iterator[int]:
        """Run all steps, yielding how many are done; read :meth:`demonstrations` afterwards."""
        state = self._filled(self.simulator.state())
        disturbance = torch.zeros(self.rows, len(self.arms), 6)
        recorded: dict[str, list[Tensor]] = {}
        for step, (normal, uniform) in enumerate(self._draws()):
            jump, fumble, choices = uniform.split(self._uniforms(), -1)
            jumped = (jump[:, 0] < self.settings.jump_probability) & (step > 0)
            state = self._jump(state, jumped)
            hands = hands_in_base(state)
            action = self.script.act(state, hands, choices, jumped)
            for name, value in self._frame(state, hands, action, normal[:, :6]).items():
                recorded.setdefault(name, []).append(value[: self.count])
            disturbance = self._disturb(disturbance, normal[:, 6:])
            width = self._fumble(action[..., 6], fumble.unflatten(-1, (-1, _FUMBLE)))
            executed = torch.cat((action[..., :6] + disturbance, width.unsqueeze(-1)), -1)
            state = self._step(state, hands, executed)
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
        normal = self.random.normal(steps, 6 + 6 * len(self.arms))
        uniform = self.random.uniform(steps, sum(self._uniforms()))
        return zip(*(draw.transpose(0, 1).contiguous() for draw in (normal, uniform)), strict=True)

    def _uniforms(self) -> tuple[int, int, int]:
        """Uniform values of a step: for jumps, for fumbles, and for the script."""
        return _JUMP, _FUMBLE * len(self.arms), self.script.draws

    def _filled(self, state: FrankaState) -> FrankaState:
        """States of the demonstrations with spare rows."""
        numbers = torch.arange(self.rows).clamp_max(self.count - 1)
        return state.of_worlds(numbers)

    def _start(self) -> None:
        pose = self.starts.cube_pose(torch.ones(self.rows, dtype=torch.bool))
        cube = CubeVariation().sample(self.random.uniform(2)[: self.count])
        state = self.starts.state(*pose)
        self.simulator.set_state(state.of_worlds(torch.arange(self.count)), cube=cube)

    # -- one step -------------------------------------------------------------------------------

    def _step(self, state: FrankaState, hands: HandState, executed: Tensor) -> FrankaState:
        """What actions (n, N, 7) lead to in a control period."""
        if self.guard is not None:
            twist = self.controller.saturate(executed[..., :6])
            executed = torch.cat((self.guard.restrain(hands, twist), executed[..., 6:]), -1)
        targets = actuator_targets(self.controller, state.joint_position, executed)
        simulated = self.simulator.step(targets[: self.count], self.simulator.substeps)
        if simulated.arm_contact is not None:
            self.contacts += simulated.arm_contact
        return self._filled(simulated.state)

    def _frame(
        self, state: FrankaState, hands: HandState, action: Tensor, draw: Tensor
    ) -> dict[str, Tensor]:
        estimate = self.tracking.apply(state, draw)
        return self.make_frame(state, estimate, observe(estimate, self.arms, hands), action)

    def _disturb(self, disturbance: Tensor, draw: Tensor) -> Tensor:
        memory = self.settings.noise_memory
        linear, angular = self.settings.action_noise
        scale = torch.tensor([linear] * 3 + [angular] * 3) * (1 - memory**2) ** 0.5
        return memory * disturbance + scale * draw.unflatten(-1, (-1, 6))

    def _fumble(self, width: Tensor, draw: Tensor) -> Tensor:
        """The widths that the grippers really take up, (n, N), for values (n, N, 3)."""
        settings = self.settings
        shortest, longest = settings.fumble_steps
        begins = (self._fumbling <= 0) & (draw[..., 0] < settings.fumble_probability)
        length = shortest + ((longest - shortest + 1) * draw[..., 1]).long()
        self._fumbling = torch.where(begins, length, self._fumbling - 1)
        wrong = torch.where(draw[..., 2] < settings.fumble_closes, 0.0, MAX_WIDTH)
        self._wrong_width = torch.where(begins, wrong, self._wrong_width)
        return torch.where(self._fumbling > 0, self._wrong_width, width)

    def _jump(self, state: FrankaState, jumps: Tensor) -> FrankaState:
        if not jumps.any():
            return state
        position, quaternion = self.starts.cube_pose(jumps)
        moved = attrs.evolve(
            state,
            cube_position=torch.where(jumps.unsqueeze(-1), position, state.cube_position),
            cube_quaternion=torch.where(jumps.unsqueeze(-1), quaternion, state.cube_quaternion),
            cube_velocity=torch.where(jumps.unsqueeze(-1), 0.0, state.cube_velocity),
        )
        self.simulator.place_cube(moved, torch.nonzero(jumps[: self.count]).squeeze(-1))
        return moved
