"""Trajectory-like problems with an exact solution: several agents, many steps, several modes."""

from __future__ import annotations

import math
from functools import cached_property

import attrs
import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.testing.costs import QuadraticCost, block_cost, coupling_cost
from codi_core.testing.mixtures import GaussianMixture, joint_mixture
from codi_core.testing.oracle import FactoredOracle, Oracle
from codi_core.testing.policies import MixturePolicy, action_spec
from codi_core.testing.problem import Problem


@attrs.frozen
class TrajectoryFamily:
    """Agents that each head for one of several places, and must meet in groups.

    An agent's actions are velocities over a chunk of one second; its final position is their
    mean. Each mode heads for its own place on the unit circle, on a path with its own bend, and
    varies smoothly around it (a covariance of rank ``rank`` · ``dimension``). The cost wants
    neighbours within a group to end at one place, which only the combinations of like modes can
    do. Groups do not affect one another, so the exact solution is a product over groups; within
    a group all combinations of modes are enumerated.

    Attributes:
        agents: N.
        steps: K.
        dimension: A, the dimension of space; at least 2.
        modes: how many places an agent may head for.
        rank: how many smooth functions vary a path, for each dimension of space.
        spread: the standard deviation of an agent's final position within a mode.
        tolerance: the distance at which J/λ is ½; λ is its square.
        group: how many agents meet at one place; the last group may be smaller.
        seed: of the modes' weights and bends.
    """

    agents: int = 2
    steps: int = 8
    dimension: int = 2
    modes: int = 3
    rank: int = 3
    spread: float = 0.3
    tolerance: float = 0.1
    group: int = 2
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        if self.dimension < 2 or not 1 <= self.rank <= self.steps or self.group < 1:
            raise SpecificationError(
                "a trajectory family needs dimension >= 2, 1 <= rank <= steps and group >= 1; "
                f"got {self}"
            )

    @property
    def size(self) -> int:
        """D = N·K·A."""
        return self.agents * self.steps * self.dimension

    def problem(self) -> TrajectoryProblem:
        """The problem, with one base policy per agent."""
        action = action_spec(self.steps, self.dimension)
        generator = torch.Generator().manual_seed(self.seed)
        policies = tuple(
            MixturePolicy(self._mixture(generator), action) for _ in range(self.agents)
        )
        cost = block_cost([self.group_cost(len(group)) for group in self.groups()])
        return TrajectoryProblem(
            policies=policies, cost=cost, temperature=self.tolerance**2, family=self
        )

    def groups(self) -> tuple[range, ...]:
        """Which agents must meet."""
        return tuple(
            range(start, min(start + self.group, self.agents))
            for start in range(0, self.agents, self.group)
        )

    def readout(self) -> Tensor:
        """The final position as a function of an agent's flat chunk, (A, K·A)."""
        ones = torch.full((1, self.steps), 1.0 / self.steps, dtype=torch.float64)
        return torch.kron(ones, torch.eye(self.dimension, dtype=torch.float64))

    def group_cost(self, members: int) -> QuadraticCost:
        """The cost of one group: neighbours end at one place."""
        return coupling_cost(members, self.readout())

    def _mixture(self, generator: torch.Generator) -> GaussianMixture:
        space = torch.eye(self.dimension, dtype=torch.float64)
        smooth = cosines(self.steps, max(self.rank, 2))
        weights = 0.5 + torch.rand(self.modes, generator=generator, dtype=torch.float64)
        bends = torch.randn(self.modes, self.dimension, generator=generator, dtype=torch.float64)
        # A bend along the second cosine leaves the final position where it is.
        ends = self.places().unsqueeze(1).expand(-1, self.steps, -1)
        paths = ends + torch.einsum("k,ca->cka", self.steps**0.5 * smooth[:, 1], 0.5 * bends)
        deviations = self.spread * self.steps**0.5 / torch.arange(1.0, self.rank + 1).double()
        variances = torch.kron(deviations.square(), torch.ones(self.dimension).double())
        basis = torch.kron(smooth[:, : self.rank].contiguous(), space)
        return GaussianMixture(
            (weights / weights.sum()).log(),
            paths.flatten(-2),
            basis.expand(self.modes, *basis.shape),
            variances.expand(self.modes, *variances.shape),
        )

    def places(self) -> Tensor:
        """Where the modes head for, on the unit circle, (modes, A)."""
        angles = 2 * math.pi * torch.arange(self.modes, dtype=torch.float64) / self.modes
        places = torch.zeros(self.modes, self.dimension, dtype=torch.float64)
        places[:, 0], places[:, 1] = angles.cos(), angles.sin()
        return places


@attrs.define(slots=False, eq=False, kw_only=True)
class TrajectoryProblem(Problem):
    """One problem of a :class:`TrajectoryFamily`.

    Attributes:
        family: what it was made from.
    """

    family: TrajectoryFamily

    @cached_property
    def oracle(self) -> FactoredOracle:
        """The exact solution, factored over the groups of agents."""
        oracles = []
        for group in self.family.groups():
            base = joint_mixture([self.policies[agent].mixture for agent in group])
            cost = self.family.group_cost(len(group))
            oracles.append(Oracle.of(base, cost, self.temperature))
        return FactoredOracle(tuple(oracles))

    def endpoints(self, flat: Tensor) -> Tensor:
        """The final positions of all agents, from (…, D) to (…, N, A)."""
        chunks = flat.reshape(*flat.shape[:-1], self.family.agents, -1)
        return torch.matmul(chunks, self.family.readout().to(flat).mT)


def cosines(steps: int, count: int) -> Tensor:
    """The first ``count`` columns of the orthonormal cosine basis over K steps, (K, count)."""
    position = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    waves = torch.cos(math.pi * position.unsqueeze(-1) * torch.arange(count).double())
    return torch.nn.functional.normalize(waves, dim=0)
