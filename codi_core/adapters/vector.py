"""A vector environment of gymnasium as an environment of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.adapters.episodes import Episodes, View, Worlds, limited
from codi_core.adapters.readings import Readings, of_batch
from codi_core.errors import SpecificationError
from codi_core.planning import Observation
from codi_core.tasks import Environment, EpisodeKey, Step


class VectorEnvironment(Environment):
    """Worlds of a vector environment, as gymnasium's ``make_vec`` makes them.

    For example::

        VectorEnvironment(
            lambda worlds: gymnasium.make_vec("Reacher-v5", num_envs=worlds),
            rate_hz=50.0,
            state=lambda readings: torch.as_tensor(readings.observation),
            observe=lambda readings: {"joints": torch.as_tensor(readings.observation)},
            events=lambda readings: {"reward": readings.reward},
        )

    Used are ``reset(seed=[...], options=...)``, ``step(actions)``, ``metadata``, ``close()`` and
    ``single_action_space``. All that is random in an episode derives from its key: the world is
    seeded with :func:`codi_core.adapters.episode_seed`. Worlds that have ended are stepped with
    the others, and what they do does not count.

    Args:
        make: makes a vector environment with a number of worlds.
        rate_hz: the control rate [Hz].
        state: from readings to the state estimate, tensors (B, ...).
        observe: from readings to the joint observation, named tensors (B, ...).
        events: from readings to measurements, arrays (B, ...). A world has succeeded, or failed,
            from when ``succeeded`` or ``failed`` say so, and it has failed when its episode ends
            (or is truncated) without success.
        actions: from the agents' actions, (B, A_i) each, to what the vector environment takes. By
            default they are put side by side and limited to the action space's bounds.
        reset_mask: whether ``reset(options={"reset_mask": (B,)})`` starts some worlds while the
            others go on, as in gymnasium's own vector environments since 1.1. If not, each world is
            a vector environment of one, and they are stepped one after another.

    Raises:
        SpecificationError: a vector environment that starts the next episode in the step in which
            one ends.
    """

    def __init__(
        self,
        make: Callable[[int], Any],
        *,
        rate_hz: float,
        state: Callable[[Readings], Any],
        observe: Callable[[Readings], Observation],
        events: Callable[[Readings], Mapping[str, NDArray[Any]]],
        actions: Callable[[tuple[Tensor, ...]], Any] | None = None,
        reset_mask: bool = True,
    ) -> None:
        worlds = _VectorWorlds(make, actions) if reset_mask else _SeparateWorlds(make, actions)
        self._episodes = Episodes(worlds, View(state, observe, events), rate_hz)

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        """Start episodes, in all worlds or in those numbered ``rows``."""
        return self._episodes.reset(episodes, rows)

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        """Apply one action an agent, (B, A_i) each, for one control period."""
        return self._episodes.step(actions)


Convert = Callable[[tuple[Tensor, ...]], Any] | None


class _VectorWorlds(Worlds):
    """The worlds of one vector environment."""

    def __init__(self, make: Callable[[int], Any], convert: Convert) -> None:
        self._make, self._convert = make, convert
        self._vector: Any = None
        self._seeds: list[int] = []

    def start(self, seeds: Sequence[int], rows: Sequence[int] | None) -> Readings:
        if rows is None:
            self._remake(len(seeds))
            self._seeds = list(seeds)
            self._done = np.zeros(len(seeds), dtype=bool)
            return self._begun(*self._vector.reset(seed=list(seeds)))
        chosen: list[int | None] = [None] * len(self._seeds)
        for row, seed in zip(rows, seeds, strict=True):
            chosen[row] = self._seeds[row] = seed
        mask = np.array([seed is not None for seed in chosen])
        self._done[mask] = False
        begun = self._begun(*self._vector.reset(seed=chosen, options={"reset_mask": mask}))
        return begun.of_worlds(rows)

    def step(self, actions: tuple[Tensor, ...], ended: NDArray[np.bool_]) -> Readings:
        if _autoreset(self._vector) == "Disabled" and self._done.any():
            self._restart(np.flatnonzero(self._done).tolist())
        told = self._vector.step(self._converted(actions))
        observation, reward, terminated, truncated, info = (
            of_batch(part, len(self._seeds)) for part in told
        )
        self._done = terminated | truncated
        return Readings(observation, reward, terminated, truncated, info, self._done.copy())

    def close(self) -> None:
        """Free what the vector environment holds."""
        if self._vector is not None:
            self._vector.close()

    def _remake(self, worlds: int) -> None:
        if self._vector is not None and worlds == len(self._seeds):
            return
        self.close()
        self._vector = self._make(worlds)
        if _autoreset(self._vector) == "SameStep":
            raise SpecificationError(
                f"{type(self._vector).__name__} starts the next episode in the step in which one "
                "ends, so that its end is not seen: make it with the autoreset mode NextStep or "
                "Disabled"
            )

    def _restart(self, rows: Sequence[int]) -> None:
        """Have worlds whose episodes are over go on somehow; some can't be stepped otherwise."""
        seeds = [self._seeds[row] for row in rows]
        self.start(seeds, None if len(rows) == len(self._seeds) else rows)

    def _begun(self, observation: Any, info: Any) -> Readings:
        worlds = len(self._seeds)
        nobody = np.zeros(worlds, dtype=bool)
        return Readings(
            of_batch(observation, worlds),
            np.zeros(worlds),
            nobody,
            nobody,
            of_batch(info, worlds),
            nobody,
        )

    def _converted(self, actions: tuple[Tensor, ...]) -> Any:
        if self._convert is not None:
            return self._convert(actions)
        flat = torch.cat([action.flatten(1) for action in actions], -1)
        return limited(flat, self._vector.single_action_space)


class _SeparateWorlds(Worlds):
    """Worlds that are a vector environment each."""

    def __init__(self, make: Callable[[int], Any], convert: Convert) -> None:
        self._make, self._convert = make, convert
        self._each: list[_VectorWorlds] = []

    def start(self, seeds: Sequence[int], rows: Sequence[int] | None) -> Readings:
        if rows is None:
            for world in self._each[len(seeds) :]:
                world.close()
            missing = len(seeds) - len(self._each)
            self._each = self._each[: len(seeds)]
            self._each += [_VectorWorlds(self._make, self._convert) for _ in range(missing)]
            rows = range(len(seeds))
        return Readings.joined(
            [self._each[row].start([seed], None) for row, seed in zip(rows, seeds, strict=True)]
        )

    def step(self, actions: tuple[Tensor, ...], ended: NDArray[np.bool_]) -> Readings:
        return Readings.joined(
            [
                one.step(tuple(action[row : row + 1] for action in actions), ended[row : row + 1])
                for row, one in enumerate(self._each)
            ]
        )


def _autoreset(vector: Any) -> str:
    mode = (getattr(vector, "metadata", None) or {}).get("autoreset_mode", "NextStep")
    return str(getattr(mode, "value", mode))
