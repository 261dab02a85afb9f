"""n worlds of the task that start their episodes one by one, with rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.errors import UsageError
from codi_core.experiments.opening import make_options
from codi_core.tasks import EpisodeKey, Step
from codi_franka.geometry import quaternion_from_matrix, quaternion_multiply
from codi_franka.gym.spaces import encode_observation, physical_actions
from codi_franka.handoff.costs import TABLE_I, CollisionCost, EngagementCost, GoalCost
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.metrics import REST_SPEED
from codi_franka.handoff.options import SUCCESS_RADIUS, HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.prediction.trajectory import HandoffTrajectory, goals
from codi_franka.robot.cell import ARMS
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.state import FrankaState

Arrays = dict[str, NDArray[Any]]

RESET_OPTIONS = {"start": 3, "goal": 2}
"""The options of ``reset`` and how many numbers each has."""
INFO_EVENTS = ("goal_distance_m", "hand_distance_m", "arm_contact", "failed", "left_only")


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


def handoff_options(**given: Any) -> HandoffOptions:
    """The task's options by name, as a caller of the environment gives them.

    Raises:
        UsageError: a value is not one of the task's.
    """
    options: HandoffOptions = make_options(HandoffOptions, given, "franka-handoff")
    return options


def reset_options(options: HandoffOptions, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """What ``reset(options=...)`` was given, after a check against the task's options.

    Raises:
        UsageError: a name or a value is not one of the task's.
    """
    overrides = dict(given or {})
    wrong = sorted(str(name) for name in overrides if not _well_formed(name, overrides[name]))
    if wrong:
        raise UsageError(
            f"unknown or malformed reset options {wrong}; there are "
            "start: (x [m], y [m], yaw [rad]) and goal: (x [m], y [m]), in the world frame"
        )
    attrs.evolve(options, **overrides)  # it must be on the table
    return overrides


def _well_formed(name: str, value: Any) -> bool:
    try:
        return np.asarray(value, float).shape == (RESET_OPTIONS.get(name),)
    except (TypeError, ValueError):
        return False


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
        self.environment = FrankaEnvironment(options, MujocoMaker(threads))
        self._came_near = np.zeros(count, dtype=bool)
        self._last_reward = np.zeros(count)
        self._step: Step | None = None

    def start(
        self, rows: Sequence[int], keys: Sequence[EpisodeKey], overrides: Mapping[str, Any]
    ) -> None:
        """Begin new episodes in some worlds; the first call must name all worlds, in order.

        Args:
            rows: which worlds.
            keys: one episode for each of them.
            overrides: of the task's options for these episodes, from :func:`reset_options`.
        """
        some = None if self._step is None else rows
        self._step = self.environment.reset(keys, some, **overrides)
        self._came_near[rows] = False
        self._last_reward[rows] = 0.0

    @property
    def started(self) -> bool:
        """Whether there are episodes."""
        return self._step is not None

    def step(self, actions: NDArray[np.floating]) -> Outcome:
        """Apply actions (n, 14), in [-1, 1], for one control period.

        Raises:
            UsageError: no episode has started.
        """
        self._now()
        self._step = self.environment.step(physical_actions(actions))
        events = self._step.events
        near = np.asarray(events["goal_distance_m"], dtype=float) <= SUCCESS_RADIUS
        self._came_near |= near & ~np.asarray(events["failed"])
        terminated = self._settled(near) | ~self.environment.valid
        return Outcome(self.observation(), self._reward(), terminated, self.info())

    def observation(self) -> Arrays:
        """What the arms see now, named arrays (n, ...)."""
        now = self._now()
        return encode_observation(now.observation, np.asarray(now.events["goal"], float))

    def info(self) -> Arrays:
        """Measurements of the true worlds, (n,) each; new arrays each time."""
        events = self._now().events
        info = {name: np.array(events[name]) for name in INFO_EVENTS}
        return {**info, "is_success": self._came_near.copy()}

    def events(self) -> Mapping[str, NDArray[Any]]:
        """The present events of all worlds, what pictures are made of."""
        return self._now().events

    def _now(self) -> Step:
        if self._step is None:
            raise UsageError("no episode has started: call reset first")
        return self._step

    def _reward(self) -> NDArray[np.float64]:
        """Minus the cost; a diverged world, whose values mean nothing, repeats its last reward."""
        task = self.environment
        cost = self.cost(one_step_trajectory(task.state, task.hands))[:, 0]
        reward = -cost.numpy().astype(np.float64)
        self._last_reward = np.where(task.valid, reward, self._last_reward)
        return self._last_reward.copy()

    def _settled(self, near: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the cube is delivered: near the goal, released and at rest, (n,)."""
        events = self._now().events
        at_rest = np.asarray(events["cube_speed_m_s"]) < REST_SPEED
        return near & at_rest & ~np.asarray(events["cube_touched"]) & ~np.asarray(events["failed"])


def one_step_trajectory(state: FrankaState, hands: HandState) -> HandoffTrajectory:
    """True states as trajectories of one sample and one step.

    Args:
        state: of n worlds, with their goals.
        hands: the state's hands, each in its arm's base frame.
    """
    bases = BaseFrames.of(ARMS)

    def single(value: Tensor) -> Tensor:
        return value[:, None, None]

    def quaternions() -> Tensor:
        turned = quaternion_from_matrix(hands.rotation)
        return single(quaternion_multiply(bases.quaternion, turned))

    return HandoffTrajectory(
        hand_position=single(bases.points_to_world(hands.position)),
        gripper_width=single(state.gripper_width),
        cube_position=single(state.cube_position),
        goal=goals(state),
        hand_quaternion=quaternions,
    )
