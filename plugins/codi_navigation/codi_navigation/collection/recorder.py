"""Runs the expert and records what one robot saw and did."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.tasks import EpisodeKey
from codi_navigation.collection.expert import Expert
from codi_navigation.collection.training_maps import TrainingProblem, training_problem
from codi_navigation.maps.shapes import Maps
from codi_navigation.observation import ENVIRONMENT, STATE, observe
from codi_navigation.routing import plan_routes
from codi_navigation.routing.routes import Routes
from codi_navigation.simulation.contacts import drive
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team

Frames = dict[str, NDArray[np.float32]]
"""One demonstration: named arrays (T, ...)."""

_STREAM = 2**31 + 3
"""Keeps the training maps apart from those of the scenarios."""


@attrs.frozen
class CollectionSettings:
    """What the demonstrations vary, besides maps and behaviours."""

    steps: int = 110
    """Control steps of one demonstration."""
    noise: tuple[float, float] = (0.1, 0.06)
    """Standard deviation of slow disturbances of the executed (not the recorded) commands [m/s],
    holonomic and unicycle: the expert is seen to recover from being off its path."""
    turning_noise: float = 0.3
    """[rad/s] The same of a unicycle's turning rate."""
    noise_memory: float = 0.85
    """How much of a disturbance lasts to the next step."""
    moving_start: float = 0.6
    """The share of demonstrations that start at some speed."""
    stay: float = 0.06
    """That a robot at its goal gets the next one, in each step."""


class Recorder:
    """A batch of demonstrations that run at once.

    Args:
        episodes: one key a demonstration.
        kind: the vehicles' kind.
        settings: what varies.
    """

    def __init__(
        self,
        episodes: Sequence[EpisodeKey],
        kind: str,
        settings: CollectionSettings | None = None,
    ) -> None:
        self.settings = settings or CollectionSettings()
        self.count = len(episodes)
        self.kind, self.team = kind, Team([kind])
        problems = [training_problem(_numpy_generator(key)) for key in episodes]
        first = episodes[0]
        seeds = np.random.SeedSequence([first.seed, first.episode, _STREAM + 1])
        self.generator = torch.Generator().manual_seed(int(seeds.generate_state(1)[0]))
        self.expert = Expert(kind, self.count, self.generator)
        self.state = self._start(problems)

    def run(self) -> list[Frames]:
        """Run all steps; the demonstrations in the order of the keys."""
        disturbance = torch.zeros(self.count, 2)
        recorded: dict[str, list[Tensor]] = {}
        for _ in range(self.settings.steps):
            command = self.expert.act(self.state)
            for name, value in self._frame(command).items():
                recorded.setdefault(name, []).append(value)
            disturbance = self._disturb(disturbance)
            executed = (command + disturbance).unsqueeze(1)
            self.state = drive(self.state, self.team, executed).state
            self._next_goals()
        stacked = {name: torch.stack(values, 1).numpy() for name, values in recorded.items()}
        return [
            {name: value[world] for name, value in stacked.items()} for world in range(self.count)
        ]

    def _frame(self, command: Tensor) -> dict[str, Tensor]:
        seen, state = observe(self.state, self.team), self.state
        return {
            STATE: seen[f"robot0/{STATE}"],
            ENVIRONMENT: seen[f"robot0/{ENVIRONMENT}"],
            "action": command,
            "state.position": state.position[:, 0],
            "state.heading": state.heading,
            "state.velocity": state.velocity[:, 0],
            "state.goal": state.routes.goal[:, 0],
            "state.radius": state.radius,
        }

    def _disturb(self, disturbance: Tensor) -> Tensor:
        settings = self.settings
        along = settings.noise[self.kind == "unicycle"]
        other = settings.turning_noise if self.kind == "unicycle" else along
        fresh = torch.randn(self.count, 2, generator=self.generator)
        scale = torch.tensor([along, other]) * (1 - settings.noise_memory**2) ** 0.5
        kept: Tensor = settings.noise_memory * disturbance
        return kept + scale * fresh

    def _next_goals(self) -> None:
        gap = (self.state.routes.goal - self.state.position)[:, 0].norm(dim=-1)
        leaves = torch.rand(self.count, generator=self.generator) < self.settings.stay
        rows = torch.nonzero((gap < 0.1) & leaves & (self.goal < self.all.goal.shape[1] - 1))
        if len(rows):
            self.goal[rows] += 1
            self.state = attrs.evolve(self.state, routes=self.all.of(self.goal))

    def _start(self, problems: Sequence[TrainingProblem]) -> NavigationState:
        count = self.count
        maps = [problem.map for problem in problems]
        self.extent = maps[0].extent
        radius = torch.tensor([[problem.radius] for problem in problems])
        goals = np.stack([problem.goals for problem in problems])
        radii = radius.expand(-1, goals.shape[1]).numpy()
        self.all: Routes = plan_routes(maps, goals, radii, [problem.roads for problem in problems])
        self.goal = torch.zeros(count, dtype=torch.long)
        turned = 2 * torch.pi * torch.rand(count, 1, generator=self.generator)
        starts = np.stack([problem.start for problem in problems])
        return NavigationState(
            position=torch.from_numpy(starts).float().unsqueeze(1),
            heading=turned if self.kind == "unicycle" else torch.zeros(count, 1),
            velocity=self._velocities().unsqueeze(1),
            radius=radius,
            maps=Maps.of(maps),
            routes=self.all.of(self.goal),
        )

    def _velocities(self) -> Tensor:
        """Random velocities within the limits, (n, 2)."""
        draw = torch.rand(self.count, 3, generator=self.generator)
        moves = (draw[:, 2] < self.settings.moving_start).float()
        if self.kind == "unicycle":
            return torch.stack((1.3 * draw[:, 0] - 0.4, 4 * draw[:, 1] - 2), -1) * moves[:, None]
        angle = 2 * torch.pi * draw[:, 1]
        speed = draw[:, 0].sqrt() * moves
        return torch.stack((speed * angle.cos(), speed * angle.sin()), -1)


def _numpy_generator(key: EpisodeKey) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([key.seed, key.episode, _STREAM]))
