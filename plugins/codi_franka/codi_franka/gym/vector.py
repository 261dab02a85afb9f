"""Many worlds of the task in one batch, as a gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from codi_core.adapters import action_array
from codi_core.costs import CostFunction
from codi_core.errors import UsageError
from codi_franka.gym.environment import HandoffEnv, check_render_mode
from codi_franka.gym.registration import MAX_EPISODE_STEPS
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

Flags = NDArray[np.bool_]


class HandoffVectorEnv(VectorEnv[Arrays, NDArray[np.float32], NDArray[Any]]):
    """n worlds of :class:`codi_franka.gym.environment.HandoffEnv`, simulated together.

    It gives the same values as gymnasium's ``SyncVectorEnv`` of n such environments, with next-step
    autoreset: the step after a world's episode has ended starts its next one and gives reward 0.

    Args:
        num_envs: n.
        max_episode_steps: after which an episode is truncated.
        render_mode: as for the single environment, as are all further arguments.
        goal: see there.
        start: see there.
        randomize: see there.
        cost: see there.
        threads: physics threads, 0 for all processors.
        size: see there.

    Raises:
        UsageError: no world at all.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        **HandoffEnv.metadata,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int = MAX_EPISODE_STEPS,
        render_mode: str | None = None,
        goal: tuple[float, float] = DEFAULT_GOAL,
        start: tuple[float, float, float] | None = None,
        randomize: bool = True,
        cost: CostFunction | None = None,
        threads: int = 0,
        size: tuple[int, int] = (640, 480),
    ) -> None:
        check_render_mode(render_mode)
        if num_envs < 1:
            raise UsageError(f"num_envs must be at least 1, not {num_envs}")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.max_episode_steps = max_episode_steps
        self.single_observation_space = observation_space()
        self.single_action_space = action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._options = handoff_options(goal=goal, start=start, randomize=randomize)
        self._worlds = HandoffWorlds(num_envs, self._options, cost or table_i_cost(), threads)
        self._renderer = HandoffRenderer(size)
        self._seeds: list[int] = []
        self._episodes = np.full(num_envs, -1)
        self._elapsed = np.zeros(num_envs, dtype=int)
        self._finished: Flags = np.zeros(num_envs, dtype=bool)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begin an episode in every world, or in some of them.

        Args:
            seed: world i gets ``seed + i``, or the i-th of a list; None continues the seeds.
            options: as for the single environment, for these episodes of all worlds that start.
                ``reset_mask``, booleans (n,), names the worlds that start while the others stay as
                they are, as in gymnasium's own vector environments.

        Raises:
            UsageError: an option is unknown or out of range, or some worlds are to start before
                all have.
            ValueError: a list of seeds has another length than n, or the mask another shape.
            TypeError: the mask is no array of booleans.
            gymnasium.error.Error: a seed is no whole number of at least zero.
        """
        given = dict(options or {})
        mask = _reset_mask(given.pop("reset_mask", None), self.num_envs)
        overrides = reset_options(self._options, given)
        rows = np.flatnonzero(mask)
        if len(rows) < self.num_envs and not self._worlds.started:
            raise UsageError("reset_mask: no episode has started, reset all worlds first")
        self._seed(self._seed_list(seed), rows)
        self._start(rows, overrides)
        return self._worlds.observation(), _masked(self._worlds.info(), mask)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Arrays, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Apply actions (n, 14) for 0.1 s; worlds whose episode had ended start the next one.

        Raises:
            UsageError: actions of another shape, or with numbers that are not finite.
        """
        restarting = self._finished
        taken = action_array(actions, (self.num_envs, ACTIONS), "a batch of actions")
        outcome = self._worlds.step(taken)
        self._elapsed += 1
        terminated = outcome.terminated & ~restarting
        truncated = (self._elapsed >= self.max_episode_steps) & ~restarting
        reward = np.where(restarting, 0.0, outcome.reward)
        if restarting.any():
            self._start(np.flatnonzero(restarting), {})
        self._finished = terminated | truncated
        info = _masked(self._worlds.info(), np.ones(self.num_envs, dtype=bool))
        return self._worlds.observation(), reward, terminated, truncated, info

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The present picture of each world, or None without a render mode."""
        if self.render_mode is None:
            return None
        events = self._worlds.events()
        return tuple(self._renderer.picture(events, row) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Free the graphics memory."""
        self._renderer.close()

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each world, which its episodes derive from."""
        if not self._seeds:
            self._seeds = [seeding.np_random()[1] for _ in range(self.num_envs)]
        return tuple(self._seeds)

    def _seed_list(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + number for number in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} environments")
        whole: Sequence[Any] = seed
        return [int(one) if isinstance(one, np.integer) else one for one in whole]

    def _seed(self, seeds: Sequence[int | None], rows: NDArray[np.intp]) -> None:
        """Seed worlds anew; a seed that gymnasium refuses leaves all as they are."""
        checked = {row: seeding.np_random(seeds[row])[1] for row in rows if seeds[row] is not None}
        self._seeds = [checked.get(row, seed) for row, seed in enumerate(self.np_random_seed)]
        self._episodes[list(checked)] = -1

    def _start(self, rows: NDArray[np.intp], overrides: dict[str, Any]) -> None:
        self._episodes[rows] += 1
        keys = [episode_key(self._seeds[row], int(self._episodes[row])) for row in rows]
        self._worlds.start([int(row) for row in rows], keys, overrides)
        self._elapsed[rows] = 0
        self._finished = self._finished.copy()
        self._finished[rows] = False


def _reset_mask(given: Any, worlds: int) -> Flags:
    """Which worlds a reset starts; the same is refused as by gymnasium's vector environments."""
    if given is None:
        return np.ones(worlds, dtype=bool)
    if not isinstance(given, np.ndarray) or given.dtype != np.bool_:
        raise TypeError(f"reset_mask must be an array of booleans, not {given!r}")
    if given.shape != (worlds,):
        raise ValueError(f"reset_mask must have the shape ({worlds},), not {given.shape}")
    if not given.any():
        raise ValueError("reset_mask must name at least one world")
    return given.copy()


def _masked(info: Arrays, present: Flags) -> dict[str, Any]:
    """A vector environment's info: each array with a mask of the worlds that have it."""
    shown = {name: np.where(present, value, np.zeros_like(value)) for name, value in info.items()}
    return {**shown, **{f"_{name}": present.copy() for name in info}}
