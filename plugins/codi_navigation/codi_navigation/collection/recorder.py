"""Runs a script and records what its robots saw and did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.planning import stream
from codi_core.tasks import EpisodeKey
from codi_navigation.collection.behaviours import DRAWS
from codi_navigation.collection.script import BEGINNING, Script, ScriptMaker
from codi_navigation.collection.settings import CollectionSettings
from codi_navigation.maps.shapes import Map
from codi_navigation.observation import observe
from codi_navigation.simulation.contacts import drive

Frames = dict[str, NDArray[np.float32]]
"""One demonstration: named arrays (T, ...)."""

GROUP = 50
"""How many demonstrations run at once: those numbered 0 to 49, 50 to 99, and so on."""


@attrs.frozen(eq=False)
class Demonstration:
    """What robots saw and did on one map.

    Attributes:
        map: the obstacles.
        frames: what was recorded.
        notes: what else the script has to say.
    """

    map: Map
    frames: Frames
    notes: Mapping[str, Any]


class Recorder:
    """Makes demonstrations; each depends on its key and the settings alone, to the bit.

    Many run at once, and how numbers are rounded depends on a number's place in a batch. So they
    run in groups with fixed members, whichever of them are asked for; the latest group is kept.

    Args:
        make_script: what is demonstrated.
        settings: what varies.
    """

    def __init__(self, make_script: ScriptMaker, settings: CollectionSettings) -> None:
        self.make_script, self.settings = make_script, settings
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
            generators = [_generator(key) for key in keys]
            script = self.make_script(generators)
            draws = _Draws.of(generators, self.settings.steps, len(script.team))
            self._latest = (seed, number), _run(script, draws, self.settings)
        return self._latest[1]


class _Draws(NamedTuple):
    """All that is random in n demonstrations of T steps, but for their problems.

    Attributes:
        beginning: uniform, (n, N, BEGINNING), for headings and velocities.
        behaviours: uniform, (n, T, N, DRAWS).
        stays: uniform, (n, T): whether robots at their goals get the next ones.
        disturbances: standard normal, (n, T, N, 2).
    """

    beginning: Tensor
    behaviours: Tensor
    stays: Tensor
    disturbances: Tensor

    @classmethod
    def of(cls, generators: Sequence[np.random.Generator], steps: int, robots: int) -> _Draws:
        """One demonstration's draws from each generator."""
        first, each = BEGINNING * robots, DRAWS * robots
        uniform = [one.random(first + steps * (each + 1), np.float32) for one in generators]
        normal = [one.standard_normal((steps, robots, 2), np.float32) for one in generators]
        numbers = torch.from_numpy(np.stack(uniform))
        each_step = numbers[:, first:].unflatten(1, (steps, each + 1))
        return cls(
            numbers[:, :first].unflatten(1, (robots, BEGINNING)),
            each_step[..., :each].unflatten(-1, (robots, DRAWS)),
            each_step[..., each],
            torch.from_numpy(np.stack(normal)),
        )


def _run(script: Script, draws: _Draws, settings: CollectionSettings) -> list[Demonstration]:
    """Run all steps of demonstrations that go in step with one another."""
    state = script.start(draws.beginning)
    scale = _disturbance_scale(script, settings)
    disturbance = torch.zeros_like(state.velocity)
    recorded: dict[str, list[Tensor]] = {}
    for step in range(settings.steps):
        commands = script.act(state, draws.behaviours[:, step])
        frame = script.frame(state, observe(state, script.team), commands)
        for name, value in frame.items():
            recorded.setdefault(name, []).append(value)
        disturbance = settings.noise_memory * disturbance + scale * draws.disturbances[:, step]
        outcome = drive(state, script.team, commands + disturbance)
        state = script.follow(outcome, draws.stays[:, step])
    stacked = {name: torch.stack(values, 1).numpy() for name, values in recorded.items()}
    notes = script.notes()
    return [
        Demonstration(
            one,
            {name: values[world] for name, values in stacked.items()},
            {name: values[world].item() for name, values in notes.items()},
        )
        for world, one in enumerate(script.maps)
    ]


def _disturbance_scale(script: Script, settings: CollectionSettings) -> Tensor:
    """The spread of what is added to disturbances in a step, (N, 2)."""
    spread = {
        "holonomic": (settings.noise[0], settings.noise[0]),
        "unicycle": (settings.noise[1], settings.turning_noise),
    }
    each = torch.tensor([spread[kind] for kind in script.team.kinds])
    return each * (1 - settings.noise_memory**2) ** 0.5


def _generator(key: EpisodeKey) -> np.random.Generator:
    return np.random.default_rng(
        np.random.SeedSequence([key.seed, key.episode, stream("demonstration")])
    )
