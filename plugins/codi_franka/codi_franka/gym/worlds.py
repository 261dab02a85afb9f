"""n worlds of the task that start their episodes one by one, with rewards.

The task's environment starts all its worlds at once. Here another one starts each new episode by
itself, and that world is then moved into the place of the finished one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.errors import UsageError
from codi_core.planning import NoiseSource, Observation
from codi_core.tasks import EpisodeKey, Step
from codi_franka.geometry import quaternion_from_matrix, quaternion_multiply
from codi_franka.gym.spaces import encode_observation, physical_actions
from codi_franka.handoff.costs import TABLE_I, CollisionCost, EngagementCost, GoalCost
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.metrics import REST_SPEED
from codi_franka.handoff.options import SUCCESS_RADIUS, HandoffOptions
from codi_franka.handoff.starts import ARMS
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.state import BaseFrames, FrankaState, hands_in_base, tcp_in_world, tensors

Arrays = dict[str, NDArray[Any]]

RESET_OPTIONS = {"start": 3, "goal": 2}
"""The options of ``reset`` and how many numbers each has."""
INFO_EVENTS = ("goal_distance_m", "hand_distance_m", "arm_contact", "failed", "left_only")
_VARIED = ("body_mass", "body_inertia", "geom_friction")
"""The model's fields that differ between worlds."""


def table_i_cost() -> CostFunction:
    """The cost of Eq. 20 with the weights of Table I."""
    parts: dict[str, CostFunction] = {
        "handoff-goal": GoalCost(),
        "handoff-collision": CollisionCost(),
        "handoff-engagement": EngagementCost(),
    }
    return WeightedCost(
        tuple(CostTerm(name, parts[name], weight) for name, weight in TABLE_I.items())
    )


def reset_options(options: HandoffOptions, given: Mapping[str, Any] | None) -> HandoffOptions:
    """The task's options with those that ``reset(options=...)`` was given.

    Raises:
        UsageError: a name or a value is not one of the task's.
    """
    given = given or {}
    wrong = sorted(
        name for name, value in given.items() if np.shape(value) != (RESET_OPTIONS.get(name),)
    )
    if wrong:
        raise UsageError(
            f"unknown or malformed reset options {wrong}; there are "
            "start: (x [m], y [m], yaw [rad]) and goal: (x [m], y [m]), in the world frame"
        )
    return attrs.evolve(options, **given)


def episode_key(seed: int | None, episode: int) -> EpisodeKey:
    """The key of one world's episode, for any seed that gymnasium knows."""
    return EpisodeKey(int(seed or 0) % 2**32, episode)


@attrs.frozen(eq=False)
class Outcome:
    """What one step did to n worlds.

    Attributes:
        observation: named arrays (n, ...).
        reward: (n,).
        terminated: (n,).
        info: named arrays (n,).
    """

    observation: Arrays
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    info: Arrays


class HandoffWorlds:
    """Steps n worlds together; each starts its episodes by itself.

    Args:
        count: n.
        options: the task's options.
        cost: its negative is the reward.
        threads: physics threads, 0 for all processors.
    """

    def __init__(
        self, count: int, options: HandoffOptions, cost: CostFunction, threads: int = 0
    ) -> None:
        self.count = count
        self.cost = cost
        self._bases = BaseFrames.of(ARMS)
        self._all = FrankaEnvironment(options, threads)
        self._one = FrankaEnvironment(options, 1)
        self._streams = _Streams(count)
        self._goal = np.zeros((count, 3))
        self._came_near = np.zeros(count, dtype=bool)
        self._last_reward = np.zeros(count)
        self._step: Step | None = None

    def start(
        self, rows: Sequence[int], keys: Sequence[EpisodeKey], options: HandoffOptions
    ) -> None:
        """Begin new episodes in some worlds; the first call must name all worlds.

        Args:
            rows: which worlds.
            keys: one episode for each of them.
            options: the task's options for these episodes.
        """
        if self._step is None:
            self._step = self._all.reset(list(keys))
            self._all.streams = self._streams  # type: ignore[assignment]
        for row, key in zip(rows, keys, strict=True):
            self._move_in(row, self._begin(key, options))

    def step(self, actions: NDArray[np.floating]) -> Outcome:
        """Apply actions (n, 14), in [-1, 1], for one control period."""
        self._step = self._all.step(physical_actions(actions))
        diverged = ~self._all.simulator.valid
        events = self._step.events
        near = np.asarray(events["goal_distance_m"], dtype=float) <= SUCCESS_RADIUS
        self._came_near |= near & ~np.asarray(events["failed"])
        terminated = self._settled(near) | diverged
        return Outcome(self.observation(), self._reward(), terminated, self.info())

    def observation(self) -> Arrays:
        """What the arms see now, named arrays (n, ...)."""
        return encode_observation(self._now().observation, self._goal)

    def info(self) -> Arrays:
        """Measurements of the true worlds, (n,) each; new arrays each time."""
        events = self._now().events
        info = {name: np.array(events[name]) for name in INFO_EVENTS}
        return {**info, "is_success": self._came_near.copy()}

    def events(self) -> Mapping[str, NDArray[Any]]:
        """The present events of all worlds, what pictures are made of."""
        return self._now().events

    def _now(self) -> Step:
        assert self._step is not None, "start() comes first"
        return self._step

    def _reward(self) -> NDArray[np.float64]:
        """Minus the cost; a diverged world, whose values mean nothing, repeats its last reward."""
        cost = self.cost(one_step_trajectory(self._all.state, self._goal, self._bases))[:, 0]
        sound = self._all.simulator.valid
        self._last_reward = np.where(sound, -cost.numpy().astype(np.float64), self._last_reward)
        return self._last_reward.copy()

    def _settled(self, near: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the cube is delivered: near the goal, released and at rest, (n,)."""
        events = self._now().events
        at_rest = np.asarray(events["cube_speed_m_s"]) < REST_SPEED
        return near & at_rest & ~np.asarray(events["cube_touched"]) & ~np.asarray(events["failed"])

    def _begin(self, key: EpisodeKey, options: HandoffOptions) -> Step:
        goal = np.array([*options.goal, self._one.goal[2]])
        self._one.options, self._one.goal = options, goal
        return self._one.reset([key])

    def _move_in(self, row: int, started: Step) -> None:
        """Put the world that ``_one`` has just started in the place of ``row``."""
        one, worlds = self._one, self._all
        rows = np.array([row])
        worlds.simulator.batch.reset(ids=rows)
        worlds.simulator.set_state(one.state, rows)
        if one.options.randomize:
            for name in _VARIED:
                worlds.simulator.batch.expand(name)[row] = one.simulator.batch.expand(name)[0]
            worlds.simulator.batch.set_const(rows)
        self._streams.sources[row] = one.streams
        worlds.left_only[row] = one.left_only[0]
        worlds.failed[row] = False
        self._goal[row] = one.goal
        worlds.goal = self._goal
        self._came_near[row] = False
        self._last_reward[row] = 0.0
        worlds.state = _with_row(worlds.state, row, one.state)
        self._step = _merge(self._now(), row, started)


class _Streams:
    """One random stream a world, which are replaced one by one."""

    def __init__(self, count: int) -> None:
        self.sources = [NoiseSource([]) for _ in range(count)]

    def normal(self, *shape: int) -> Tensor:
        return torch.cat([source.normal(*shape) for source in self.sources])


def one_step_trajectory(
    state: FrankaState, goal: NDArray[np.floating], bases: BaseFrames
) -> HandoffTrajectory:
    """The true state as a trajectory of one world each, one sample and one step.

    Args:
        state: of n worlds.
        goal: (n, 3) [m], world frame.
        bases: of the arms.
    """

    def single(value: Tensor) -> Tensor:
        return value[:, None, None]

    def quaternions() -> Tensor:
        turned = quaternion_from_matrix(hands_in_base(state).rotation)
        return single(quaternion_multiply(bases.quaternion, turned))

    return HandoffTrajectory(
        hand_position=single(tcp_in_world(state, bases)),
        gripper_width=single(state.gripper_width),
        cube_position=single(state.cube_position),
        goal=single(torch.as_tensor(goal, dtype=torch.float32)),
        hand_quaternion=quaternions,
    )


def _with_row(worlds: FrankaState, row: int, one: FrankaState) -> FrankaState:
    """The state of all worlds with one of them replaced."""
    return FrankaState(
        **{name: _replaced(value, row, getattr(one, name)[0]) for name, value in tensors(worlds)}
    )


def _merge(step: Step, row: int, started: Step) -> Step:
    """A step of all worlds in which one has just started."""
    observation: Observation = {
        name: _replaced(value, row, started.observation[name][0])
        for name, value in step.observation.items()
    }
    events = {}
    for name, value in step.events.items():
        events[name] = np.array(value)
        events[name][row] = started.events[name][0]
    return attrs.evolve(
        step,
        state=_with_row(step.state, row, started.state),
        observation=observation,
        events=events,
    )


def _replaced(value: Tensor, row: int, new: Tensor) -> Tensor:
    value = value.clone()
    value[row] = new
    return value
