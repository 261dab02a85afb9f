"""Worlds and trajectories that tests share."""

from __future__ import annotations

import numpy as np
import torch

from codi_navigation.maps.problem import Problem
from codi_navigation.maps.shapes import Map, Obstacle
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.simulation.environment import initial_state
from codi_navigation.vehicles import Team

EXTENT = (-3.0, -3.0, 3.0, 3.0)
BLOCK = Obstacle.box(0.5, 0.2, 1.0, 0.6, 0.4)
PILLAR = Obstacle.circle(-1.0, 1.0, 0.4)


def open_state(starts, goals, vehicle="holonomic", radius=0.15, headings=None, obstacles=()):
    """One world on an open map, or with obstacles."""
    starts = np.asarray(starts, float)
    headings = np.zeros(len(starts)) if headings is None else headings
    problem = Problem(Map(EXTENT, obstacles), starts, np.asarray(goals, float), headings)
    return initial_state([problem], Team.of(vehicle, len(starts)), radius)


def random_state(seed, robots=6, vehicle="holonomic", worlds=1, obstacles=(BLOCK, PILLAR)):
    """Robots anywhere, also where they overlap, with random velocities."""
    generator = np.random.default_rng(seed)
    problems = [
        Problem(
            Map(EXTENT, obstacles),
            generator.uniform(-2.5, 2.5, (robots, 2)),
            generator.uniform(-2.5, 2.5, (robots, 2)),
            generator.uniform(-3, 3, robots),
        )
        for _ in range(worlds)
    ]
    state = initial_state(problems, Team.of(vehicle, robots), 0.15)
    state.velocity.copy_(torch.as_tensor(generator.uniform(-0.5, 0.5, state.velocity.shape)))
    return state


def random_chunks(seed, robots, worlds=1, samples=5, steps=16):
    """Commands (B, M, K, 2) a robot, some far outside the limits."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        2 * torch.randn(worlds, samples, steps, 2, generator=generator) for _ in range(robots)
    )


def straight_trajectory(state, velocities, steps=16, vehicle="holonomic"):
    """What constant commands (N, 2) lead to, from rest: one sample."""
    team = Team.of(vehicle, state.robots)
    chunks = tuple(
        torch.tensor(velocity, dtype=torch.float32).expand(1, 1, steps, 2)
        for velocity in velocities
    )
    return NavigationPredictor(team).predict(state, chunks).trajectory
