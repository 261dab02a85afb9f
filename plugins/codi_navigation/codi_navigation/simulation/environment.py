"""The environment of all navigation tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.resources import Resources
from codi_core.tasks import Environment, EpisodeKey, Step, check_rows, finite_actions
from codi_navigation.maps.problem import Problem, check_problem, check_reachable
from codi_navigation.maps.shapes import Maps
from codi_navigation.observation import observe
from codi_navigation.options import NavigationOptions
from codi_navigation.routing import plan_routes
from codi_navigation.scenarios.base import Scenario, time_limit, travel_time
from codi_navigation.simulation.simulator import NavigationSimulator
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team
from codi_navigation.vehicles.base import PERIOD

GOAL_RADIUS = 0.1
"""[m] A robot whose centre is that near to its goal is there."""


class NavigationEnvironment(Environment):
    """B worlds of N robots.

    An episode is over for a world, ``failed``, when its time limit has passed without all robots
    at their goals, or at its first contact (unless the options say otherwise). The time limit is
    2.5 times what the robot needs alone that needs longest, by its shortest path and, if it has to
    turn to drive, after half a turn on the spot. It counts from the start of the world's own
    episode.

    Events, besides ``failed`` and ``succeeded``: ``position`` (B, N, 2), ``heading`` (B, N),
    ``goal`` (B, N, 2), ``radius`` (B, N), ``goal_distance_m`` (B, N) along a straight line,
    ``robot_contact`` and ``obstacle_contact`` (B, N), in the last period, ``closest_m`` (B,), the
    least gap between two robots in the last period, ``shortest_path_m`` (B, N),
    ``shortest_time_s`` (B, N), ``time_limit_s`` (B,), ``unicycle`` (B, N), ``obstacles``
    (B, O, 6), ``passages`` (B, P, 6), ``roundabouts`` (B, R, 6) and ``extent`` (B, 4).

    Args:
        scenario: draws the episodes' problems.
        team: the robots' kinds.
        options: the task's options.
        resources: where the worlds' tensors are. Problems are drawn, and paths searched, on the
            host.
    """

    def __init__(
        self,
        scenario: Scenario,
        team: Team,
        options: NavigationOptions,
        resources: Resources | None = None,
    ) -> None:
        self.scenario = scenario
        self.team = team
        self.options = options
        self.resources = resources or Resources()
        self.worlds = 0

    @property
    def state(self) -> NavigationState:
        """The true state of all worlds."""
        return self._now.state

    @property
    def solved(self) -> NDArray[np.bool_]:
        """Which worlds have succeeded, (B,)."""
        return self._books.solved

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Start episodes, in all worlds or in those numbered ``rows``.

        Raises:
            UsageError: a problem that cannot be solved; the message says what is wrong. No world
                has started then.
        """
        if rows is not None:
            check_rows(rows, episodes, self.worlds)
        state, books = self._start(episodes)
        if rows is None:
            self.simulator = NavigationSimulator(self.team, state)
            self._books = books
            self.worlds, self.time = len(episodes), 0.0
        else:
            self.simulator.set_state(state, torch.tensor(list(rows)))
            self._books = self._books.replaced(rows, books)
        self._now = self.simulator.look()
        self._constant = self._constant_events()
        return self._look()

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one command a robot, (B, 2) each, for 0.1 s."""
        given = finite_actions(torch.stack(actions, 1), type(self).__name__)
        commands = given.to(self.state.position)
        self._now = self.simulator.step(commands, 1)
        self.time = round(self.time + PERIOD, 6)
        self._books.elapsed[:] = np.round(self._books.elapsed + PERIOD, 6)
        return self._look()

    def _look(self) -> Step:
        """Judge all episodes, and tell what there is to see."""
        outcome, state, books = self._now, self.state, self._books
        gap = _array((state.routes.goal - state.position).norm(dim=-1))
        touched = _array((outcome.robot_contact | outcome.obstacle_contact).any(-1))
        books.judge(gap, touched, self.options.stop_at_contact)
        events = {
            **self._constant,
            "failed": books.failed.copy(),
            "succeeded": books.solved.copy(),
            "position": _array(state.position),
            "heading": _array(state.heading),
            "goal_distance_m": gap,
            "robot_contact": _array(outcome.robot_contact),
            "obstacle_contact": _array(outcome.obstacle_contact),
            "closest_m": _array(outcome.closest),
        }
        return Step(self.time, state, observe(state, self.team), events)

    def _start(self, episodes: Sequence[EpisodeKey]) -> tuple[NavigationState, _Books]:
        problems = [self._problem(key) for key in episodes]
        state = initial_state(problems, self.team, self.options.radius)
        shortest = _array(state.routes.distance(state.position))
        for problem, lengths in zip(problems, shortest, strict=True):
            check_reachable(problem, lengths, self.options.radius)
        state = state.to(self.resources.device, self.resources.dtype)
        extent = np.array([problem.map.extent for problem in problems])
        return state, _Books.opened(shortest, self.team, extent)

    def _problem(self, key: EpisodeKey) -> Problem:
        problem = self.scenario.of_episode(key)
        check_problem(problem, self.options.radius)
        return problem

    def _constant_events(self) -> dict[str, NDArray[Any]]:
        """What does not change in an episode."""
        state, books = self.state, self._books
        unicycle = np.array([kind == "unicycle" for kind in self.team.kinds])
        return {
            "goal": _array(state.routes.goal),
            "radius": _array(state.radius),
            "shortest_path_m": books.shortest,
            "shortest_time_s": books.alone,
            "time_limit_s": books.limit,
            "unicycle": np.tile(unicycle, (self.worlds, 1)),
            "obstacles": _array(state.maps.obstacles),
            "passages": _array(state.maps.passages),
            "roundabouts": _array(state.maps.roundabouts),
            "extent": books.extent,
        }


@attrs.frozen(eq=False)
class _Books:
    """What is kept on the host about the episodes of B worlds.

    Attributes:
        shortest: the shortest path of each robot, (B, N) [m].
        alone: how long each robot takes for it, (B, N) [s].
        limit: the time limits, (B,) [s].
        extent: of the maps, (B, 4) [m].
        elapsed: how long each episode has taken, (B,) [s].
        solved: who has succeeded, (B,).
        failed: who has failed, (B,).
    """

    shortest: NDArray[np.float32]
    alone: NDArray[np.float64]
    limit: NDArray[np.float64]
    extent: NDArray[np.float64]
    elapsed: NDArray[np.float64]
    solved: NDArray[np.bool_]
    failed: NDArray[np.bool_]

    @classmethod
    def opened(
        cls, shortest: NDArray[np.float32], team: Team, extent: NDArray[np.float64]
    ) -> _Books:
        """For episodes that start."""
        worlds = len(shortest)
        alone = np.vectorize(travel_time, otypes=[float])(shortest, team.turning_round)
        limit = time_limit(alone.max(-1))
        flags = np.zeros((2, worlds), dtype=bool)
        return cls(shortest, alone, limit, extent, np.zeros(worlds), *flags)

    def replaced(self, rows: Sequence[int], other: _Books) -> _Books:
        """The same with the episodes of ``other`` in the worlds numbered ``rows``."""
        merged = {}
        for field in attrs.fields(_Books):
            merged[field.name] = getattr(self, field.name).copy()
            merged[field.name][list(rows)] = getattr(other, field.name)
        return _Books(**merged)

    def judge(self, gap: NDArray[np.floating], touched: NDArray[np.bool_], stops: bool) -> None:
        """Note who succeeds and who fails.

        Args:
            gap: the robots' distances to their goals, (B, N) [m].
            touched: the worlds with a contact in the last period, (B,).
            stops: whether a contact ends an episode.
        """
        self.solved[:] |= (gap <= GOAL_RADIUS).all(-1) & ~self.failed & ~touched
        late = self.elapsed >= self.limit - 1e-6
        self.failed[:] |= (late | touched if stops else late) & ~self.solved


def initial_state(problems: Sequence[Problem], team: Team, radius: float) -> NavigationState:
    """All robots at rest at their starts, in B worlds."""
    position = torch.from_numpy(np.stack([problem.starts for problem in problems]))
    heading = torch.from_numpy(np.stack([problem.headings for problem in problems]))
    # A holonomic robot's axes are the world's.
    turns = torch.tensor([kind == "unicycle" for kind in team.kinds])
    radii = np.full(position.shape[:2], radius, np.float32)
    maps = [problem.map for problem in problems]
    return NavigationState(
        position=position,
        heading=torch.where(turns, heading, 0.0),
        velocity=torch.zeros_like(position),
        radius=torch.from_numpy(radii),
        maps=Maps.of(maps),
        routes=plan_routes(maps, np.stack([problem.goals for problem in problems]), radii),
    )


def _array(values: Tensor) -> NDArray[Any]:
    return values.cpu().numpy()
