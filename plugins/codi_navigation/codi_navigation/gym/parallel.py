"""The tasks as PettingZoo parallel environments: each robot is an agent."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from pettingzoo import ParallelEnv

from codi_core.adapters import action_array, check_agents
from codi_navigation.action import RATE_HZ
from codi_navigation.gym.environment import check_render_mode
from codi_navigation.gym.worlds import (
    OBSERVATION_BOUND,
    OBSERVATION_SIZE,
    Array,
    World,
    episode_key,
)

Infos = dict[str, dict[str, Any]]


class NavigationParallelEnv(ParallelEnv[str, Array, Array]):  # type: ignore[misc]
    """N disk robots that move at the same time.

    Each agent observes (33,) what its own policy sees, see :mod:`codi_navigation.observation`, and
    acts with its command (2,) in [-1, 1]; 1 stands for 1 m/s, or 3 rad/s for the second number of a
    unicycle. Its reward is its progress along its shortest path [m], and -10 for a contact of its
    own. All agents terminate together, when all are at their goals or at the first contact, and are
    truncated together at the task's time limit.

    Args:
        task: the task's name.
        render_mode: None or "rgb_array".
        options: the task's options, such as ``agents=8`` and ``vehicle="mixed"``.

    Raises:
        UsageError: an unknown task, or options that it refuses.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "codi_navigation_v0",
        "render_modes": ["rgb_array"],
        "render_fps": round(RATE_HZ),
    }

    def __init__(
        self, task: str = "navigation-swap", render_mode: str | None = None, **options: Any
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self._world = World(task, options)
        self.possible_agents = list(self._world.team.names)
        self.agents: list[str] = []
        bound = OBSERVATION_BOUND
        self._observation_spaces = {
            name: spaces.Box(-bound, bound, (OBSERVATION_SIZE,), np.float32)
            for name in self.possible_agents
        }
        self._action_spaces = {
            name: spaces.Box(-1.0, 1.0, (2,), np.float32) for name in self.possible_agents
        }
        self._seed: int | None = None
        self._episode = -1

    def observation_space(self, agent: str) -> spaces.Box:
        """What one robot observes; always the same object."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Box:
        """How one robot acts; always the same object."""
        return self._action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], Infos]:
        """Begin the next episode, or the first one of ``seed``.

        There are no options: a task's are given when the environment is made.
        """
        if seed is not None or self._seed is None:
            self._seed = seeding.np_random(seed)[1]
            self._episode = -1
        self._episode += 1
        self.agents = list(self.possible_agents)
        seen = self._world.reset(episode_key(self._seed, self._episode))
        return self._each(seen), self._infos()

    def step(
        self, actions: dict[str, Array]
    ) -> tuple[dict[str, Array], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Apply one action a robot, (2,); what is outside of [-1, 1] is clipped.

        Nothing happens after the end of an episode.

        Raises:
            UsageError: an action of another shape, or with numbers that are not finite; a robot
                without an action, or an action without a robot. Or no episode has started.
        """
        self._world.check_started()
        if not self.agents:
            return {}, {}, {}, {}, {}
        check_agents(actions, self.agents)
        taken = [action_array(actions[name], (2,), f"{name}'s action") for name in self.agents]
        seen, outcome = self._world.step(np.stack(taken))
        infos = self._infos()
        contact = any(info["contact"] for info in infos.values())
        terminated = outcome.solved or (outcome.failed and contact)
        truncated = outcome.failed and not terminated
        names = self.agents
        rewards = {name: float(value) for name, value in zip(names, outcome.reward, strict=True)}
        results = (
            self._each(seen),
            rewards,
            dict.fromkeys(names, terminated),
            dict.fromkeys(names, truncated),
            infos,
        )
        if terminated or truncated:
            self.agents = []
        return results

    def render(self) -> NDArray[np.uint8] | None:
        """The present picture, (height, width, 3), or None without a render mode."""
        return None if self.render_mode is None else self._world.picture()

    def close(self) -> None:
        """Nothing to free."""

    def _each(self, rows: Array) -> dict[str, Array]:
        return dict(zip(self.possible_agents, rows, strict=True))

    def _infos(self) -> Infos:
        return {name: self._world.info(index) for index, name in enumerate(self.possible_agents)}
