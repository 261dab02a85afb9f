"""The environment of all navigation tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codi_core.tasks import Environment, EpisodeKey, Step
from codi_navigation.maps.problem import Problem, check_problem, check_reachable
from codi_navigation.maps.shapes import Maps
from codi_navigation.observation import observe
from codi_navigation.options import NavigationOptions
from codi_navigation.routing import plan_routes
from codi_navigation.scenarios.base import Scenario, time_limit, travel_time
from codi_navigation.simulation.contacts import Outcome, drive
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team
from codi_navigation.vehicles.base import PERIOD

GOAL_RADIUS = 0.1
"""[m] A robot whose centre is that near to its goal is there."""

_PROBLEM_STREAM = 2**31 + 2
"""Keeps the scenario's random stream apart from those of planning (0, 1, 2, …)."""


class NavigationEnvironment(Environment):
    """B worlds of N robots.

    An episode is over for a world, ``failed``, when its time limit has passed without all robots
    at their goals, or at its first contact (unless the options say otherwise). The time limit is
    2.5 times what the robot with the longest shortest path needs alone.

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
    """

    def __init__(self, scenario: Scenario, team: Team, options: NavigationOptions) -> None:
        self.scenario = scenario
        self.team = team
        self.options = options

    def reset(self, episodes: Sequence[EpisodeKey]) -> Step:
        """Start one episode a world.

        Raises:
            UsageError: a problem that cannot be solved; the message says what is wrong.
        """
        problems = [self._problem(key) for key in episodes]
        self.state = initial_state(problems, self.team, self.options.radius)
        shortest = self.state.routes.distance(self.state.position).numpy()
        for problem, lengths in zip(problems, shortest, strict=True):
            check_reachable(problem, lengths, self.options.radius)
        self.time = 0.0
        self.constant = self._constant_events(problems, shortest)
        self.failed = np.zeros(len(episodes), dtype=bool)
        self.solved = np.zeros(len(episodes), dtype=bool)
        nobody = torch.zeros_like(self.state.heading, dtype=torch.bool)
        return self._observe(Outcome(self.state, nobody, nobody, _least_gap(self.state)))

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one command a robot, (B, 2) each, for 0.1 s."""
        commands = torch.nan_to_num(torch.stack(actions, 1))
        outcome = drive(self.state, self.team, commands)
        self.state = outcome.state
        self.time = round(self.time + PERIOD, 6)
        return self._observe(outcome)

    def _observe(self, outcome: Outcome) -> Step:
        state = outcome.state
        gap = (state.routes.goal - state.position).norm(dim=-1).numpy()
        touched = (outcome.robot_contact | outcome.obstacle_contact).any(-1).numpy()
        self.solved |= (gap <= GOAL_RADIUS).all(-1) & ~self.failed & ~touched
        late = self.time >= self.constant["time_limit_s"] - 1e-6
        self.failed |= late & ~self.solved
        if self.options.stop_at_contact:
            self.failed |= touched & ~self.solved
        events = {
            **self.constant,
            "failed": self.failed.copy(),
            "succeeded": self.solved.copy(),
            "position": state.position.numpy(),
            "heading": state.heading.numpy(),
            "goal_distance_m": gap,
            "robot_contact": outcome.robot_contact.numpy(),
            "obstacle_contact": outcome.obstacle_contact.numpy(),
            "closest_m": outcome.closest.numpy(),
        }
        return Step(self.time, state, observe(state, self.team), events)

    def _problem(self, key: EpisodeKey) -> Problem:
        mixed = np.random.SeedSequence([key.seed, key.episode, _PROBLEM_STREAM])
        problem = self.scenario.problem(np.random.default_rng(mixed))
        check_problem(problem, self.options.radius)
        return problem

    def _constant_events(
        self, problems: Sequence[Problem], shortest: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What does not change in an episode."""
        state = self.state
        limits = [time_limit(float(lengths.max())) for lengths in shortest]
        unicycle = np.array([kind == "unicycle" for kind in self.team.kinds])
        return {
            "goal": state.routes.goal.numpy(),
            "radius": state.radius.numpy(),
            "shortest_path_m": shortest,
            "shortest_time_s": np.vectorize(travel_time, otypes=[float])(shortest),
            "time_limit_s": np.array(limits),
            "unicycle": np.tile(unicycle, (len(problems), 1)),
            "obstacles": state.maps.obstacles.numpy(),
            "passages": state.maps.passages.numpy(),
            "roundabouts": state.maps.roundabouts.numpy(),
            "extent": np.array([problem.map.extent for problem in problems]),
        }


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


def _least_gap(state: NavigationState) -> Tensor:
    gap = torch.cdist(state.position, state.position)
    gap = gap - state.radius.unsqueeze(1) - state.radius.unsqueeze(2)
    itself = torch.eye(state.robots, dtype=torch.bool)
    return gap.masked_fill(itself, torch.inf).flatten(1).amin(-1)
