"""Runs the expert and records what one robot saw and did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import stream
from codi_core.tasks import EpisodeKey
from codi_navigation.collection.behaviours import DRAWS
from codi_navigation.collection.expert import Expert
from codi_navigation.collection.training_maps import TrainingProblem, training_problem
from codi_navigation.maps.shapes import Map, Maps
from codi_navigation.observation import ENVIRONMENT, STATE, observe
from codi_navigation.routing import plan_routes
from codi_navigation.routing.routes import Routes
from codi_navigation.simulation.contacts import drive
from codi_navigation.state import NavigationState
from codi_navigation.vehicles import Team

Frames = dict[str, NDArray[np.float32]]
"""One demonstration: named arrays (T, ...)."""


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


GROUP = 50
"""How many demonstrations run at once: those numbered 0 to 49, 50 to 99, and so on."""


@attrs.frozen(eq=False)
class Demonstration:
    """What one robot saw and did on one map.

    Attributes:
        map: the obstacles.
        frames: what was recorded.
    """

    map: Map
    frames: Frames


class Recorder:
    """Makes demonstrations; each depends on its key and the settings alone, to the bit.

    Many run at once, and how numbers are rounded depends on a number's place in a batch. So they
    run in groups with fixed members, whichever of them are asked for; the latest group is kept.

    Args:
        kind: the vehicles' kind.
        settings: what varies.
    """

    def __init__(self, kind: str, settings: CollectionSettings | None = None) -> None:
        self.kind, self.settings = kind, settings or CollectionSettings()
        self._latest: tuple[tuple[int, int], list[Demonstration]] | None = None

    def record(self, episodes: Sequence[EpisodeKey]) -> list[Demonstration]:
        """The demonstrations with these keys, in their order."""
        names = [(key.seed, key.episode // GROUP) for key in episodes]
        groups = {name: self._group(*name) for name in dict.fromkeys(names)}
        return [
            groups[name][key.episode % GROUP] for name, key in zip(names, episodes, strict=True)
        ]

    def _group(self, seed: int, number: int) -> list[Demonstration]:
        if self._latest is None or self._latest[0] != (seed, number):
            keys = [EpisodeKey(seed, number * GROUP + place) for place in range(GROUP)]
            self._latest = (seed, number), _Group(keys, self.kind, self.settings).run()
        return self._latest[1]


class _Draws(NamedTuple):
    """All that is random in n demonstrations of T steps, but for their maps.

    Attributes:
        beginning: uniform, (n, 4): the heading, and three numbers for the velocity.
        behaviours: uniform, (n, T, DRAWS).
        stays: uniform, (n, T): whether a robot at its goal gets the next one.
        disturbances: standard normal, (n, T, 2).
    """

    beginning: Tensor
    behaviours: Tensor
    stays: Tensor
    disturbances: Tensor

    @classmethod
    def of(cls, generators: Sequence[np.random.Generator], steps: int) -> _Draws:
        """One demonstration's draws from each generator."""
        uniform = [one.random(4 + steps * (DRAWS + 1), np.float32) for one in generators]
        normal = [one.standard_normal((steps, 2), np.float32) for one in generators]
        numbers = torch.from_numpy(np.stack(uniform))
        each_step = numbers[:, 4:].unflatten(1, (steps, DRAWS + 1))
        return cls(
            numbers[:, :4],
            each_step[..., :DRAWS],
            each_step[..., DRAWS],
            torch.from_numpy(np.stack(normal)),
        )


class _Group:
    """Demonstrations that run in step with one another.

    Args:
        episodes: their keys.
        kind: the vehicles' kind.
        settings: what varies.
    """

    def __init__(
        self, episodes: Sequence[EpisodeKey], kind: str, settings: CollectionSettings
    ) -> None:
        self.kind, self.settings, self.count = kind, settings, len(episodes)
        self.team, self.expert = Team([kind]), Expert(kind, self.count)
        generators = [_generator(key) for key in episodes]
        problems = [training_problem(generator) for generator in generators]
        self.draws = _Draws.of(generators, settings.steps)
        self.maps = [problem.map for problem in problems]
        self.state = self._start(problems)

    def run(self) -> list[Demonstration]:
        """Run all steps."""
        disturbance = torch.zeros(self.count, 2)
        recorded: dict[str, list[Tensor]] = {}
        for step in range(self.settings.steps):
            command = self.expert.act(self.state, self.draws.behaviours[:, step])
            for name, value in self._frame(command).items():
                recorded.setdefault(name, []).append(value)
            disturbance = self._disturb(disturbance, self.draws.disturbances[:, step])
            executed = (command + disturbance).unsqueeze(1)
            self.state = drive(self.state, self.team, executed).state
            self._next_goals(self.draws.stays[:, step])
        stacked = {name: torch.stack(values, 1).numpy() for name, values in recorded.items()}
        return [
            Demonstration(one, {name: value[world] for name, value in stacked.items()})
            for world, one in enumerate(self.maps)
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

    def _disturb(self, disturbance: Tensor, draws: Tensor) -> Tensor:
        settings = self.settings
        along = settings.noise[self.kind == "unicycle"]
        other = settings.turning_noise if self.kind == "unicycle" else along
        scale = torch.tensor([along, other]) * (1 - settings.noise_memory**2) ** 0.5
        kept: Tensor = settings.noise_memory * disturbance
        return kept + scale * draws

    def _next_goals(self, draws: Tensor) -> None:
        gap = (self.state.routes.goal - self.state.position)[:, 0].norm(dim=-1)
        last = self.goal == self.all.goal.shape[1] - 1
        rows = torch.nonzero((gap < 0.1) & (draws < self.settings.stay) & ~last)
        if len(rows):
            self.goal[rows] += 1
            self.state = attrs.evolve(self.state, routes=self.all.of(self.goal))

    def _start(self, problems: Sequence[TrainingProblem]) -> NavigationState:
        radius = torch.tensor([[problem.radius] for problem in problems])
        goals = np.stack([problem.goals for problem in problems])
        radii = radius.expand(-1, goals.shape[1]).numpy()
        roads = [problem.roads for problem in problems]
        self.all: Routes = plan_routes(self.maps, goals, radii, roads)
        self.goal = torch.zeros(self.count, dtype=torch.long)
        turned = 2 * torch.pi * self.draws.beginning[:, :1]
        starts = np.stack([problem.start for problem in problems])
        return NavigationState(
            position=torch.from_numpy(starts).float().unsqueeze(1),
            heading=turned if self.kind == "unicycle" else torch.zeros_like(turned),
            velocity=self._velocities(self.draws.beginning[:, 1:]).unsqueeze(1),
            radius=radius,
            maps=Maps.of(self.maps),
            routes=self.all.of(self.goal),
        )

    def _velocities(self, draws: Tensor) -> Tensor:
        """Random velocities within the limits, (n, 2)."""
        moves = (draws[:, 2] < self.settings.moving_start).float()
        if self.kind == "unicycle":
            return torch.stack((1.3 * draws[:, 0] - 0.4, 4 * draws[:, 1] - 2), -1) * moves[:, None]
        angle = 2 * torch.pi * draws[:, 1]
        speed = draws[:, 0].sqrt() * moves
        return torch.stack((speed * angle.cos(), speed * angle.sin()), -1)


def _generator(key: EpisodeKey) -> np.random.Generator:
    return np.random.default_rng(
        np.random.SeedSequence([key.seed, key.episode, stream("demonstration")])
    )
