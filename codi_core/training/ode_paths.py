"""Paths of the probability-flow ODE of a policy: what a student learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor

from codi_core.planning import Descent, NoiseSource, Observation
from codi_core.policies import BasePolicy, Batch, Student
from codi_core.samplers import DpmSolverSampler, KarrasSchedule
from codi_core.training.trainer import BatchSource

SIGMA_MAX, SIGMA_MIN, RHO = 40.0, 0.05, 7.0
"""The noise levels that the ODE is solved between, and their spacing."""

POOL = 32
"""Paths that are learnt from several times wait in a pool of so many batches."""


class PathMaker(Protocol):
    """Follows the ODE of a policy from noise to its end.

    Attributes:
        levels: the noise levels, falling to a zero at the end, (n + 1,).
    """

    @property
    def levels(self) -> Tensor:
        """The noise levels."""

    def points(self, observation: Observation, noise: Tensor) -> list[Tensor]:
        """Where the ODE passes each level, and at last where it ends, (B, ..., D) each.

        Args:
            observation: named tensors (B, H, ...), in physical units.
            noise: standard normal values, (B, ..., D).
        """


@attrs.frozen(eq=False)
class Solver:
    """Solves the probability-flow ODE of a policy with DPM-Solver++ 2M.

    Attributes:
        policy: the policy.
        levels: the noise levels, falling to a zero at the end, (n + 1,).
    """

    policy: BasePolicy
    levels: Tensor

    @classmethod
    def of(cls, policy: BasePolicy, calls: int, start: float = SIGMA_MAX) -> Solver:
        """A solver in so many calls, from ``start``, or from what the policy knows of that."""
        low, high = policy.spec.sigma_range
        first, last = min(start, high), max(SIGMA_MIN, low)
        levels = KarrasSchedule(calls, first, last, RHO).levels(policy.normaliser.mean.device)
        return cls(policy, levels)

    @torch.no_grad()
    def points(self, observation: Observation, noise: Tensor) -> list[Tensor]:
        """Where the ODE passes each level, and at last where it ends, (B, ..., D) each."""
        denoiser = self.policy.denoiser(observation)
        none = NoiseSource([], noise.device)  # the ODE takes no further noise
        visits = DpmSolverSampler().visits(
            denoiser, self.levels[0] * noise, Descent(self.levels), none
        )
        passed, end = [], noise
        for visit in visits:
            passed.append(visit.noisy)
            end = visit.denoised
        return [*passed, end]


@attrs.frozen(eq=False)
class StandIn:
    """Follows the ODE in the steps of an existing student of the policy, in place of a solver.

    It takes one call or two where a solver takes many, and has the student's errors besides.

    Attributes:
        student: the student.
    """

    student: Student

    @property
    def levels(self) -> Tensor:
        """The levels of the student's calls and a zero at the end, (n + 1,)."""
        return torch.tensor([*self.student.levels, 0.0])

    @torch.no_grad()
    def points(self, observation: Observation, noise: Tensor) -> list[Tensor]:
        """Where the student's steps begin, and at last where they end, (B, ..., D) each."""
        jump = self.student.jump.denoiser(observation)
        passed = [self.student.levels[0] * noise]
        for call in range(self.student.calls):
            passed.append(self.student.step(jump, passed[-1], call))
        return passed


@attrs.frozen(eq=False)
class OdePaths:
    """Paths of n noises, each in a state of its own.

    Attributes:
        observation: of the states, named tensors (n, H, ...), in physical units.
        points: where the paths are at the level of each call of a student, and at their end,
            (n, calls + 1, D).
    """

    observation: Observation
    points: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def rows(self, chosen: Tensor) -> OdePaths:
        """The paths with these numbers (m,)."""
        seen = {name: value[chosen] for name, value in self.observation.items()}
        return OdePaths(seen, self.points[chosen])

    def replace(self, start: int, others: OdePaths) -> None:
        """Put others in the place of as many paths, in a ring from number ``start`` on."""
        places = (start + torch.arange(len(others), device=self.points.device)) % len(self)
        self.points[places] = others.points
        for name, values in self.observation.items():
            values[places] = others.observation[name]

    @classmethod
    def joined(cls, parts: Sequence[OdePaths]) -> OdePaths:
        """The paths of all parts, in their order."""
        names = parts[0].observation
        seen = {name: torch.cat([part.observation[name] for part in parts]) for name in names}
        return cls(seen, torch.cat([part.points for part in parts]))


@attrs.frozen(eq=False)
class FreshPaths:
    """Follows new noise in new states each time: no path comes twice.

    Attributes:
        states: where states are drawn from.
        maker: what follows the ODE.
        starts: which of the maker's levels are those of a student's calls.
    """

    states: BatchSource[Batch]
    maker: PathMaker
    starts: tuple[int, ...]

    def sample(self, generator: torch.Generator, size: int) -> OdePaths:
        """So many new paths."""
        batch = self.states.sample(generator, size)
        width = batch.actions[0].numel()
        noise = torch.empty(len(batch), width, device=batch.actions.device)
        noise.normal_(generator=generator)
        points = self.maker.points(batch.observation, noise)
        kept = [points[start] for start in (*self.starts, -1)]
        return OdePaths(batch.observation, torch.stack(kept, 1))

    def state(self) -> dict[str, Any]:
        """Nothing: what is drawn depends on the generator alone."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to restore."""


class ReusedPaths:
    """Gives each path out several times, and goes on making new ones.

    A batch is drawn from a pool of :data:`POOL` batches, whose oldest paths are replaced by new
    ones before each batch. So a path is seen for a while, and never again.

    Args:
        fresh: makes the new paths.
        times: how often a path is given out, on average.
    """

    def __init__(self, fresh: FreshPaths, times: int) -> None:
        self._fresh = fresh
        self._times = times
        self._pool: OdePaths | None = None
        self._oldest = 0

    def sample(self, generator: torch.Generator, size: int) -> OdePaths:
        """So many paths of the pool."""
        if self._pool is None:
            # Batch by batch: a large pool at once would take far more memory on the way.
            parts = [self._fresh.sample(generator, size) for _ in range(POOL)]
            self._pool = OdePaths.joined(parts)
        else:
            self._renew(self._pool, generator, -(-size // self._times))
        count, device = len(self._pool), generator.device
        return self._pool.rows(torch.randint(count, (size,), generator=generator, device=device))

    def _renew(self, pool: OdePaths, generator: torch.Generator, count: int) -> None:
        pool.replace(self._oldest, self._fresh.sample(generator, count))
        self._oldest = (self._oldest + count) % len(pool)

    def state(self) -> dict[str, Any]:
        """The pool, and which of its paths is the oldest."""
        pool = self._pool
        known = None if pool is None else {"seen": dict(pool.observation), "points": pool.points}
        return {"pool": known, "oldest": self._oldest}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on with a saved pool."""
        known = state["pool"]
        self._pool = None if known is None else OdePaths(known["seen"], known["points"])
        self._oldest = state["oldest"]
