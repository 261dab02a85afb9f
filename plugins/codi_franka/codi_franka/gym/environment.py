"""One world of the task as a gymnasium environment."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from codi_core.adapters import action_array
from codi_core.costs import CostFunction
from codi_franka.action import RATE_HZ
from codi_franka.gym.spaces import ACTIONS, action_space, observation_space
from codi_franka.gym.worlds import (
    Arrays,
    HandoffWorlds,
    episode_key,
    handoff_options,
    reset_options,
    table_i_cost,
)
from codi_franka.handoff.options import DEFAULT_GOAL
from codi_franka.rendering.video_renderer import HandoffRenderer


class HandoffEnv(gymnasium.Env[Arrays, NDArray[np.float32]]):
    """Two FR3 arms, a table and a cube that must come to a goal.

    **Observations and actions**: see :func:`codi_franka.gym.spaces.observation_space` and
    :func:`codi_franka.gym.spaces.action_space`. A step lasts 0.1 s.

    **Reward**: minus the cost of Table I, evaluated on the true state after the step.

    **Terminated** when the cube is delivered (within 15 cm of the goal, released and at rest), or
    when the simulation diverged. A cube that falls off the table does not end the episode: rewards
    are negative, so ending early would pay. **Truncated** after 60 s by ``gymnasium.make``.

    **Seeds**: the k-th episode after ``reset(seed=s)`` is episode k of ``codi-run --seed s``.

    **Info**: ``goal_distance_m``, ``hand_distance_m`` (between the hands' geometries),
    ``arm_contact``, ``failed`` (the cube fell or the simulation diverged), ``left_only`` (the right
    arm can't reach the start), ``is_success`` (the cube has been within 15 cm of the goal).

    ``reset(options={"start": (x, y, yaw), "goal": (x, y)})`` sets either for one episode [m, rad].

    Args:
        render_mode: None or "rgb_array".
        goal: of episodes whose ``reset`` names none: x and y [m], world frame.
        start: as ``goal``: x, y [m] and yaw [rad]; None draws one at random.
        randomize: whether mass, friction and the cube's tracking vary.
        cost: its negative is the reward, instead of Table I.
        threads: physics threads, 0 for all processors.
        size: of pictures, width and height [pixels].
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": round(RATE_HZ),
    }

    def __init__(
        self,
        render_mode: str | None = None,
        goal: tuple[float, float] = DEFAULT_GOAL,
        start: tuple[float, float, float] | None = None,
        randomize: bool = True,
        cost: CostFunction | None = None,
        threads: int = 1,
        size: tuple[int, int] = (640, 480),
    ) -> None:
        check_render_mode(render_mode)
        self.render_mode = render_mode
        self.observation_space = observation_space()  # type: ignore[assignment]
        self.action_space = action_space()  # type: ignore[assignment]
        self._options = handoff_options(goal=goal, start=start, randomize=randomize)
        self._worlds = HandoffWorlds(1, self._options, cost or table_i_cost(), threads)
        self._renderer = HandoffRenderer(size)
        self._episode = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin the next episode, or the first one of ``seed``.

        Raises:
            UsageError: an option is unknown or out of range.
        """
        super().reset(seed=seed)
        overrides = reset_options(self._options, options)
        self._episode = 0 if seed is not None else self._episode + 1
        self._worlds.start([0], [episode_key(self.np_random_seed, self._episode)], overrides)
        return _single(self._worlds.observation()), _scalars(self._worlds.info())

    def step(self, action: NDArray[np.float32]) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Apply one action, (14,), for 0.1 s.

        Raises:
            UsageError: an action of another shape, or with numbers that are not finite.
        """
        outcome = self._worlds.step(action_array(action, (ACTIONS,))[None])
        return (
            _single(outcome.observation),
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            False,
            _scalars(outcome.info),
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The present picture, (height, width, 3), or None without a render mode.

        Raises:
            CodiError: no OpenGL works here; the message says what to do.
        """
        if self.render_mode is None:
            return None
        return self._renderer.picture(self._worlds.events(), 0)

    def close(self) -> None:
        """Free the graphics memory."""
        self._renderer.close()


def check_render_mode(render_mode: str | None) -> None:
    """Refuse what can't be rendered.

    Raises:
        ValueError: with the modes that exist.
    """
    modes = HandoffEnv.metadata["render_modes"]
    if render_mode is not None and render_mode not in modes:
        raise ValueError(f"render_mode must be None or one of {modes}, not {render_mode!r}")


def _single(observation: Arrays) -> Arrays:
    return {name: value[0] for name, value in observation.items()}


def _scalars(info: Arrays) -> dict[str, Any]:
    return {name: value[0].item() for name, value in info.items()}
