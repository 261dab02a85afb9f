"""One world of a task, with actions in [-1, 1], flat observations and rewards."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from codi_core.errors import UsageError
from codi_core.experiments.opening import make_options
from codi_core.tasks import EpisodeKey, Renderer, Step
from codi_navigation.observation import ENVIRONMENT, SHAPES, STATE
from codi_navigation.simulation.environment import GOAL_RADIUS, NavigationEnvironment
from codi_navigation.task import CorridorTask, NavigationTask, SwapTask, WarehouseTask
from codi_navigation.vehicles import VEHICLES, Holonomic, Team, Unicycle

Array = NDArray[np.float32]

TASKS: dict[str, type[NavigationTask]] = {
    "navigation-swap": SwapTask,
    "navigation-corridor": CorridorTask,
    "navigation-warehouse": WarehouseTask,
}

OBSERVATION_SIZE = SHAPES[STATE][0] + SHAPES[ENVIRONMENT][0]
"""The numbers that one robot observes: ``observation.state``, then the environment's."""
OBSERVATION_BOUND = 4.0
"""No number of a robot's observation is larger; most are at most 1."""

CONTACT_REWARD = -10.0
"""For a robot that touches something."""


@attrs.frozen
class Outcome:
    """What a step did, one entry a robot.

    Attributes:
        reward: (N,): progress along the shortest path [m], and ``CONTACT_REWARD`` for a contact.
        solved: all robots are at their goals, and there was no contact.
        failed: there was a contact, or the time limit has passed.
    """

    reward: NDArray[np.float64]
    solved: bool
    failed: bool


class World:
    """One world.

    Args:
        task: the task's name.
        options: the task's options, by their names.

    Raises:
        UsageError: an unknown task, or options that it refuses.
    """

    def __init__(self, task: str, options: dict[str, Any]) -> None:
        if task not in TASKS:
            raise UsageError(f"unknown task '{task}'; valid: {', '.join(TASKS)}")
        made = TASKS[task]()
        chosen = make_options(made.Options, options, task)
        self.team = Team.of(chosen.vehicle, chosen.agents)
        self.environment = NavigationEnvironment(made.scenario(chosen), self.team, chosen)
        self.renderer: Renderer | None = made.parts(chosen).renderer
        self._scale = torch.tensor([_command_scale(kind) for kind in self.team.kinds])
        self._trace: list[dict[str, Any]] = []

    def reset(self, key: EpisodeKey) -> Array:
        """Start an episode; returns the observations (N, 33)."""
        step = self.environment.reset([key])
        self._trace = [dict(step.events)]
        self._to_go = self._distances()
        return self._observed(step)

    def step(self, actions: Array) -> tuple[Array, Outcome]:
        """Apply actions (N, 2) for 0.1 s; clipped to [-1, 1].

        Raises:
            UsageError: no episode has started.
        """
        self.check_started()
        scaled = torch.as_tensor(actions).clamp(-1.0, 1.0) * self._scale
        step = self.environment.step(tuple(scaled.unsqueeze(1)))
        self._trace.append(dict(step.events))
        before, self._to_go = self._to_go, self._distances()
        touched = np.logical_or(step.events["robot_contact"], step.events["obstacle_contact"])[0]
        reward = before - self._to_go + CONTACT_REWARD * touched
        solved, failed = bool(self.environment.solved[0]), bool(step.events["failed"][0])
        return self._observed(step), Outcome(reward, solved, failed)

    def check_started(self) -> None:
        """Check that there is an episode.

        Raises:
            UsageError: there is none.
        """
        if not self._trace:
            raise UsageError("no episode has started: call reset first")

    def info(self, robot: int) -> dict[str, Any]:
        """What is known about one robot."""
        events = self._trace[-1]
        gap = float(events["goal_distance_m"][0, robot])
        contact = events["robot_contact"][0, robot] or events["obstacle_contact"][0, robot]
        return {
            "goal_distance_m": gap,
            "at_goal": gap <= GOAL_RADIUS,
            "contact": bool(contact),
            "time_limit_s": float(events["time_limit_s"][0]),
        }

    def picture(self) -> NDArray[np.uint8]:
        """The present picture with the paths so far, (height, width, 3).

        Raises:
            UsageError: no episode has started.
        """
        self.check_started()
        from codi_navigation.rendering.renderer import NavigationRenderer

        trace = {
            name: np.stack([events[name][0] for events in self._trace]) for name in self._trace[0]
        }
        return NavigationRenderer().picture(trace, len(self._trace) - 1)

    def _distances(self) -> NDArray[np.float64]:
        state = self.environment.state
        return state.routes.distance(state.position)[0].double().numpy()

    def _observed(self, step: Step) -> Array:
        rows = [
            torch.cat([step.observation[f"{robot}/{name}"][0] for name in (STATE, ENVIRONMENT)])
            for robot in self.team.names
        ]
        bound = OBSERVATION_BOUND
        return torch.stack(rows).clamp(-bound, bound).numpy()


def _command_scale(kind: str) -> tuple[float, float]:
    """What an action of 1 stands for."""
    vehicle = VEHICLES[kind]
    if isinstance(vehicle, Unicycle):
        return vehicle.top_speed, vehicle.turning_rate
    assert isinstance(vehicle, Holonomic)
    return vehicle.top_speed, vehicle.top_speed


def episode_key(seed: int, episode: int) -> EpisodeKey:
    """The k-th episode after ``reset(seed=s)`` is episode k of ``codi-run --seed s``.

    gymnasium calls the seed -1 where somebody has set the generator of an environment.
    """
    return EpisodeKey(max(int(seed), 0), episode)
