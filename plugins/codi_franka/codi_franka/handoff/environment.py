"""The environment of ``franka-handoff``: full arm physics with contacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from codi_core.errors import SpecificationError, UsageError
from codi_core.execution.devices import on_host
from codi_core.planning import NoiseSource, stream
from codi_core.tasks import Environment, EpisodeKey, Step, finite_actions
from codi_franka.action import RATE_HZ, TARGETS, actuator_targets
from codi_franka.geometry import quaternion_exp
from codi_franka.handoff.merging import with_rows
from codi_franka.handoff.options import SUCCESS_RADIUS, HandoffOptions
from codi_franka.handoff.starts import left_only, sample_starts
from codi_franka.observation import observe
from codi_franka.perception import NO_NOISE, CubeNoise
from codi_franka.physics.simulator import CubeProperties, Simulated, SimulatorMaker
from codi_franka.physics.variation import CubeVariation
from codi_franka.robot.cell import ARMS, CUBE_SIZE
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.separation import SeparationGuard
from codi_franka.state import FrankaState, hands_in_base

FALLEN = -0.05
"""[m] A cube that low has left the table."""

_NOISE_STREAM, _START_STREAM = stream("sensor noise"), stream("start")

Rows = slice | NDArray[np.intp]


@attrs.frozen(eq=False)
class _Instant:
    """Worlds at one instant: what is told of them, and what they are."""

    step: Step
    state: FrankaState
    hands: HandState
    valid: NDArray[np.bool_]


class FrankaEnvironment(Environment):
    """Two arms, a table and a cube; B worlds in one simulator.

    Events, besides ``failed`` and ``succeeded`` (the cube has come within 15 cm of the goal):
    ``goal_distance_m``, ``arm_contact``, ``hand_distance_m``, ``cube_touched``,
    ``cube_speed_m_s``, ``guard_m_s`` (by how much the guard has bent the arms' commands, at most),
    ``left_only`` (B,), ``cube_position`` (B, 3), ``cube_quaternion`` (B, 4), ``hand_position``
    (B, 2, 3), ``joint_position`` (B, 2, 7), ``gripper_width`` (B, 2), ``goal`` (B, 3).

    Args:
        options: the task's options.
        make_simulator: makes the simulator; the worlds' tensors are on its device.
    """

    def __init__(self, options: HandoffOptions, make_simulator: SimulatorMaker) -> None:
        if options.box is not None:
            raise UsageError(
                "--box: simulators know the cube alone; another box is for --driver, without "
                "dry_run"
            )
        self.options = options
        self.make_simulator = make_simulator
        self.controller = EndEffectorController()
        self.noise = CubeNoise() if options.randomize else NO_NOISE
        self._now: _Instant | None = None

    @property
    def state(self) -> FrankaState:
        """The true state of all worlds now."""
        return self._instant().state

    @property
    def hands(self) -> HandState:
        """Where the true hands are now, each in its arm's base frame."""
        return self._instant().hands

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(B,) False from the moment that a world's simulation diverged."""
        return self._instant().valid

    def reset(
        self,
        episodes: Sequence[EpisodeKey],
        rows: Sequence[int] | None = None,
        *,
        goal: ArrayLike | None = None,
        start: ArrayLike | None = None,
    ) -> Step:
        """Start episodes, in all worlds or in some of them.

        Args:
            episodes: one key a world that starts.
            rows: the worlds that start, one a key; the others go on untouched. None starts all.
            goal: of these episodes, instead of the options': (2,) or one each, (n, 2), x and y
                [m], world frame.
            start: likewise, (3,) or (n, 3): x, y [m] and yaw [rad].

        Returns:
            What all worlds look like now. The clock goes on if any world does.

        Raises:
            UsageError: a goal or a start is not on the table, or some worlds are to start before
                all have.
        """
        options = self._episode_options(len(episodes), goal, start)
        chosen = _numbers(rows)
        if chosen is None:
            self._open(len(episodes))
            self._now = self._begin(episodes, options)
        else:
            self._now = with_rows(self._instant(), chosen, self._begin(episodes, options, chosen))
        return self._now.step

    def restore(self, state: FrankaState, rows: Sequence[int] | None = None) -> Step:
        """Put worlds into states, such as recorded ones, in the middle of their episodes.

        Mass and friction stay; goals, if the state has any, become theirs.

        Args:
            state: one row a world.
            rows: which worlds; None stands for all.

        Returns:
            What all worlds look like now.

        Raises:
            UsageError: no episode has started.
        """
        now, chosen = self._instant(), _numbers(rows)
        if state.goal is not None:
            self._aim(state.goal.cpu().numpy(), chosen)
        self.simulator.set_state(state.to(self.simulator.device), chosen)
        there = self._look(self.simulator.step(self._still(state.worlds), 0, chosen), chosen)
        self._now = there if chosen is None else with_rows(now, chosen, there)
        return self._now.step

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an arm, (B, 7) each: TCP twist in the arm's base frame and width."""
        state, hands = self.state, self.hands
        given = finite_actions(torch.stack(actions, 1), type(self).__name__)
        joint_action = given.to(state.joint_position)
        if self.guard is not None:
            asked = self.controller.saturate(joint_action[..., :6])
            twist = self.guard.restrain(hands, asked)
            self.bent = (twist - asked)[..., :3].norm(dim=-1).amax(-1)
            joint_action = torch.cat((twist, joint_action[..., 6:]), -1)
        targets = actuator_targets(
            self.controller, state.joint_position, joint_action, hands.jacobian
        )
        simulated = self.simulator.step(targets, self.simulator.substeps)
        self.time += 1 / RATE_HZ
        self._now = self._look(simulated)
        return self._now.step

    def _instant(self) -> _Instant:
        if self._now is None:
            raise UsageError("no episode has started: reset all worlds first")
        return self._now

    # -- starts ---------------------------------------------------------------------------------

    def _episode_options(
        self, count: int, goal: ArrayLike | None, start: ArrayLike | None
    ) -> list[HandoffOptions]:
        """The options of each of the episodes that start."""
        goals: list[Any] = [self.options.goal] * count
        starts: list[Any] = [self.options.start] * count
        if goal is not None:
            goals = np.broadcast_to(goal, (count, 2)).tolist()
        if start is not None:
            starts = np.broadcast_to(start, (count, 3)).tolist()
        return [
            attrs.evolve(self.options, goal=episode_goal, start=episode_start)
            for episode_goal, episode_start in zip(goals, starts, strict=True)
        ]

    def _open(self, count: int) -> None:
        """Make room for worlds that are all new."""
        self.simulator = self.make_simulator(ARMS, count)
        device = self.simulator.device
        self.bases = BaseFrames.of(ARMS, device)
        self.guard = SeparationGuard(self.bases) if self.options.guard else None
        self.goal = np.zeros((count, 3))
        self.left_only = np.zeros(count, dtype=bool)
        self.failed, self.succeeded = self.left_only.copy(), self.left_only.copy()
        self.bent = torch.zeros(count, device=device)
        self.time = 0.0

    def _begin(
        self,
        episodes: Sequence[EpisodeKey],
        options: Sequence[HandoffOptions],
        rows: Tensor | None = None,
    ) -> _Instant:
        """Start episodes in all worlds or in some, and look at these."""
        streams, cube = self._drawn(episodes)
        starts = _starts(episodes, options)
        chosen = _index(rows)
        if rows is None:
            self.streams = streams
        else:
            self.streams.replace(rows.tolist(), streams)
            self.bent = self.bent.index_fill(0, rows.to(self.bent.device), 0.0)
        self._aim([each.target for each in options], rows)
        self.left_only[chosen] = left_only(starts[:, :2]).numpy()
        self.failed[chosen] = self.succeeded[chosen] = False
        self.simulator.set_state(self._at_rest(starts), rows, cube)
        return self._look(self.simulator.step(self._still(len(starts)), 0, rows), rows)

    def _drawn(self, episodes: Sequence[EpisodeKey]) -> tuple[NoiseSource, CubeProperties | None]:
        """The streams of the noise of n episodes, and their cubes.

        Episodes have the same cubes on all devices.
        """
        keys = [(key.seed, key.episode, _NOISE_STREAM) for key in episodes]
        streams = NoiseSource(keys)
        cube = CubeVariation().sample(streams.uniform(2)) if self.options.randomize else None
        device = torch.device(self.simulator.device)
        return streams if device == streams.device else NoiseSource(keys, device), cube

    @torch.inference_mode(False)  # goals outlive the step that asks first
    def _aim(self, goals: ArrayLike, rows: Tensor | None) -> None:
        """Set the goals (n, 3) of all worlds, or of some."""
        self.goal[_index(rows)] = goals
        self._goal = torch.tensor(self.goal, dtype=torch.float32).to(self.simulator.device)

    def _at_rest(self, starts: Tensor) -> FrankaState:
        """Arms at home and cubes at ``starts`` (n, 3): x, y [m] and yaw [rad]."""
        worlds = len(starts)
        height = torch.full((worlds, 1), CUBE_SIZE / 2)
        turn = torch.cat((torch.zeros(worlds, 2), starts[:, 2:]), -1)
        state = FrankaState(
            joint_position=torch.tensor(HOME).expand(worlds, len(ARMS), 7),
            joint_velocity=torch.zeros(worlds, len(ARMS), 7),
            gripper_width=torch.full((worlds, len(ARMS)), MAX_WIDTH),
            cube_position=torch.cat((starts[:, :2], height), -1),
            cube_quaternion=quaternion_exp(turn),
            cube_velocity=torch.zeros(worlds, 6),
        )
        return state.to(self.simulator.device)

    def _still(self, copies: int) -> Tensor:
        """Targets for a mere look."""
        return torch.zeros(copies, len(ARMS) * TARGETS, device=self.simulator.device)

    # -- what is seen ---------------------------------------------------------------------------

    def _look(self, simulated: Simulated, rows: Tensor | None = None) -> _Instant:
        """What all worlds, or some, look like, with the noise of their trackers."""
        goal = _of(self._goal, rows).to(simulated.state.cube_position)
        state = attrs.evolve(simulated.state, goal=goal)
        hands = hands_in_base(state)
        estimate = self.noise.apply(state, self._normal(6, rows).to(goal))
        observation = observe(estimate, ARMS, hands)
        events, valid = self._events(simulated, state, hands, rows)
        return _Instant(Step(self.time, estimate, observation, events), state, hands, valid)

    def _normal(self, size: int, rows: Tensor | None) -> Tensor:
        if rows is None:
            return self.streams.normal(size)
        drawing = torch.zeros(len(self.goal), dtype=torch.bool).index_fill(0, rows, value=True)
        with self.streams.only(drawing):
            return _of(self.streams.normal(size), rows)

    def _events(
        self, simulated: Simulated, state: FrankaState, hands: HandState, rows: Tensor | None
    ) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.bool_]]:
        """The events, and which worlds' simulations have not diverged."""
        seen = on_host(
            {
                "valid": simulated.valid,
                "arm_contact": _measured(simulated.arm_contact),
                "hand_distance_m": _measured(simulated.hand_distance),
                "cube_touched": _measured(simulated.cube_contact),
                "cube_speed_m_s": state.cube_velocity[:, :3].norm(dim=-1),
                "guard_m_s": _of(self.bent, rows),
                "cube_position": state.cube_position,
                "cube_quaternion": state.cube_quaternion,
                "hand_position": self.bases.points_to_world(hands.position),
                "joint_position": state.joint_position,
                "gripper_width": state.gripper_width,
            }
        )
        valid, chosen = seen.pop("valid"), _index(rows)
        cube, goal = seen["cube_position"], self.goal[chosen]
        self.failed[chosen] |= (cube[:, 2] < FALLEN) | ~valid
        goal_distance = np.linalg.norm(cube - goal, axis=-1)
        self.succeeded[chosen] |= (goal_distance <= SUCCESS_RADIUS) & ~self.failed[chosen]
        events = {
            "failed": self.failed[chosen].copy(),
            "succeeded": self.succeeded[chosen].copy(),
            "goal_distance_m": goal_distance,
            "left_only": self.left_only[chosen].copy(),
            **seen,
            "goal": goal.copy(),
        }
        return events, valid


def _starts(episodes: Sequence[EpisodeKey], options: Sequence[HandoffOptions]) -> Tensor:
    """Where the cubes of n episodes start: x, y [m] and yaw [rad], (n, 3)."""
    starts = torch.zeros(len(episodes), 3)
    random = [row for row, each in enumerate(options) if each.start is None]
    if random:
        generators = [_start_generator(episodes[row]) for row in random]
        starts[random] = sample_starts([options[row].goal for row in random], generators)
    for row, each in enumerate(options):
        if each.start is not None:
            starts[row] = torch.tensor(each.start)
    return starts


def _start_generator(key: EpisodeKey) -> torch.Generator:
    mixed = np.random.SeedSequence([key.seed, key.episode, _START_STREAM])
    return torch.Generator().manual_seed(int(mixed.generate_state(1)[0]))


def _numbers(rows: Sequence[int] | None) -> Tensor | None:
    return None if rows is None else torch.tensor(list(rows), dtype=torch.long)


def _index(rows: Tensor | None) -> Rows:
    return slice(None) if rows is None else rows.numpy()


def _of(values: Tensor, rows: Tensor | None) -> Tensor:
    """The values of all worlds, or of some."""
    return values if rows is None else values[rows.to(values.device)]


def _measured(tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise SpecificationError(
            "the simulator does not measure contacts and distances, which the task's metrics need"
        )
    return tensor
