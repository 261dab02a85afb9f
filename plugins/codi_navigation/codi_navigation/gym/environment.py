"""A whole team as one gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from codi_core.adapters import action_array, refuse_options
from codi_navigation.action import RATE_HZ
from codi_navigation.gym.worlds import (
    OBSERVATION_BOUND,
    OBSERVATION_SIZE,
    Array,
    World,
    episode_key,
)


class NavigationEnv(gymnasium.Env[Array, Array]):
    """N disk robots that one agent moves.

    **Observation** (N, 33): what each robot's policy sees, see :mod:`codi_navigation.observation`.
    **Action** (N, 2) in [-1, 1]: each robot's command; 1 stands for 1 m/s, or for 3 rad/s in the
    second number of a unicycle. A step lasts 0.1 s. **Reward**: the progress of all robots along
    their shortest paths [m], and -10 for each robot with a contact. **Terminated** when all robots
    are at their goals, or at a contact. **Truncated** at the task's own time limit. **Info**: the
    time limit, the robots' distances to their goals, contacts, and ``is_success``. The k-th episode
    after ``reset(seed=s)`` is episode k of ``codi-run --seed s``.

    Args:
        task: the task's name.
        render_mode: None or "rgb_array".
        options: the task's options, such as ``agents=8`` and ``vehicle="mixed"``.

    Raises:
        UsageError: an unknown task, or options that it refuses.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": round(RATE_HZ),
    }

    def __init__(
        self, task: str = "navigation-swap", render_mode: str | None = None, **options: Any
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self._world = World(task, options)
        robots = len(self._world.team)
        self.observation_space = spaces.Box(
            -OBSERVATION_BOUND, OBSERVATION_BOUND, (robots, OBSERVATION_SIZE), np.float32
        )
        self.action_space = spaces.Box(-1.0, 1.0, (robots, 2), np.float32)
        self._episode = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begin the next episode, or the first one of ``seed``.

        Raises:
            UsageError: there are options; a task's are given when the environment is made.
        """
        refuse_options(options, "a task")
        super().reset(seed=seed)
        self._episode = 0 if seed is not None else self._episode + 1
        seen = self._world.reset(episode_key(self.np_random_seed, self._episode))
        return seen, self._info(False)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Apply one action, (N, 2); what is outside of [-1, 1] is clipped.

        Raises:
            UsageError: an action of another shape, or with numbers that are not finite.
        """
        seen, outcome = self._world.step(action_array(action, (len(self._world.team), 2)))
        contact = any(self._world.info(robot)["contact"] for robot in range(len(self._world.team)))
        terminated = outcome.solved or (outcome.failed and contact)
        truncated = outcome.failed and not terminated
        info = self._info(outcome.solved)
        return seen, float(outcome.reward.sum()), terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """The present picture, (height, width, 3), or None without a render mode."""
        return None if self.render_mode is None else self._world.picture()

    def _info(self, solved: bool) -> dict[str, Any]:
        robots = [self._world.info(robot) for robot in range(len(self._world.team))]
        return {
            "is_success": solved,
            "time_limit_s": robots[0]["time_limit_s"],
            "goal_distance_m": np.array([robot["goal_distance_m"] for robot in robots]),
            "contact": np.array([robot["contact"] for robot in robots]),
        }


def check_render_mode(render_mode: str | None) -> None:
    """Refuse what can't be rendered.

    Raises:
        ValueError: with the modes that exist.
    """
    modes = NavigationEnv.metadata["render_modes"]
    if render_mode is not None and render_mode not in modes:
        raise ValueError(f"render_mode must be None or one of {modes}, not {render_mode!r}")
