"""A parallel environment of PettingZoo as an environment of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codi_core.adapters.episodes import Episodes, View, Worlds, limited
from codi_core.adapters.readings import Readings, of_one
from codi_core.planning import Observation
from codi_core.tasks import Environment, EpisodeKey, Step

ByAgent = Mapping[str, Any]


class ParallelEnvironment(Environment):
    """Worlds that are one parallel environment of PettingZoo each.

    For example::

        ParallelEnvironment(
            lambda: simple_spread_v3.parallel_env(continuous_actions=True),
            rate_hz=10.0,
            state=my_state,
            observe=lambda readings: {
                f"{agent}/observation.state": torch.as_tensor(seen)
                for agent, seen in readings.observation.items()
            },
            events=lambda readings: {"reward": readings.reward["agent_0"]},
        )

    Used are ``reset(seed=...)``, ``step(actions)``, ``agents``, ``possible_agents``,
    ``action_space(agent)`` and ``close()``. All that is random in an episode derives from its key:
    the environment is seeded with :func:`codi_core.adapters.episode_seed`. An agent that has left
    keeps its last observation; an episode has ended when all have left.

    Args:
        make: makes an environment.
        rate_hz: the control rate [Hz].
        state: from readings, by agent, to the state estimate, tensors (B, ...).
        observe: from readings to the joint observation, named tensors (B, ...).
        events: from readings to measurements, arrays (B, ...). A world has succeeded, or failed,
            from when ``succeeded`` or ``failed`` say so, and it has failed when its episode ends
            without success.
        actions: from the agents' actions, (B, A_i) each, to what each PettingZoo agent takes,
            arrays (B, ...) by its name. By default the agents are those of ``possible_agents``
            in order, and their actions are limited to their spaces' bounds.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        *,
        rate_hz: float,
        state: Callable[[Readings], Any],
        observe: Callable[[Readings], Observation],
        events: Callable[[Readings], Mapping[str, NDArray[Any]]],
        actions: Callable[[tuple[Tensor, ...]], ByAgent] | None = None,
    ) -> None:
        worlds = _ParallelWorlds(make, actions)
        self._episodes = Episodes(worlds, View(state, observe, events), rate_hz)

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Start episodes, in all worlds or in those numbered ``rows``."""
        return self._episodes.reset(episodes, rows)

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an agent, (B, A_i) each, for one control period."""
        return self._episodes.step(actions)


class _ParallelWorlds(Worlds):
    def __init__(
        self, make: Callable[[], Any], convert: Callable[[tuple[Tensor, ...]], ByAgent] | None
    ) -> None:
        self._make, self._convert = make, convert
        self._each: list[_World] = []

    def start(self, seeds: Sequence[int], rows: Sequence[int] | None) -> Readings:
        if rows is None:
            for world in self._each[len(seeds) :]:
                world.environment.close()
            missing = len(seeds) - len(self._each)
            self._each = self._each[: len(seeds)]
            self._each += [_World(self._make()) for _ in range(missing)]
            rows = range(len(seeds))
        return Readings.joined(
            [self._each[row].start(seed) for row, seed in zip(rows, seeds, strict=True)]
        )

    def step(self, actions: tuple[Tensor, ...], ended: NDArray[np.bool_]) -> Readings:
        taken = self._converted(actions)
        return Readings.joined(
            [
                world.said if over else world.step({name: taken[name][row] for name in taken})
                for row, (world, over) in enumerate(zip(self._each, ended, strict=True))
            ]
        )

    def _converted(self, actions: tuple[Tensor, ...]) -> ByAgent:
        if self._convert is not None:
            return self._convert(actions)
        one = self._each[0].environment
        return {
            agent: limited(action.flatten(1), one.action_space(agent))
            for agent, action in zip(one.possible_agents, actions, strict=True)
        }


class _World:
    """One environment, and what it said last."""

    said: Readings

    def __init__(self, environment: Any) -> None:
        self.environment = environment

    def start(self, seed: int) -> Readings:
        observation, info = self.environment.reset(seed=seed)
        agents = self.environment.possible_agents
        nothing = dict.fromkeys(agents, np.zeros(1, dtype=bool))
        self.said = Readings(
            of_one(observation),
            dict.fromkeys(agents, np.zeros(1)),
            nothing,
            nothing,
            {agent: of_one(info.get(agent, {})) for agent in agents},
            np.zeros(1, dtype=bool),
        )
        return self.said

    def step(self, actions: ByAgent) -> Readings:
        told = self.environment.step({name: actions[name] for name in self.environment.agents})
        observation, reward, terminated, truncated, info = map(of_one, told)
        before, agents = self.said, self.environment.possible_agents
        self.said = Readings(
            {**before.observation, **observation},
            {**dict.fromkeys(agents, np.zeros(1)), **reward},
            {**before.terminated, **terminated},
            {**before.truncated, **truncated},
            {agent: info.get(agent, {}) for agent in agents},
            np.array([not self.environment.agents]),
        )
        return self.said
