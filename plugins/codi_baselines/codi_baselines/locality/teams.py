"""Teams of agents with one value each, coupled along a graph; all is Gaussian, so known."""

from __future__ import annotations

from functools import cached_property
from math import isqrt

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostTerms
from codi_core.errors import UsageError
from codi_core.testing import LocalQuadraticCost, Problem, chain, graph_cost, grid, single_gaussian
from codi_core.testing.local import row_members

SIGMA = 2**0.5
"""The noise level t. With base policies N(0, 2) and a_t = 0, each agent's posterior is N(0, 1)."""

GRAPHS = ("chain", "grid")


@attrs.define(slots=False, eq=False)
class GaussianTeam:
    """N agents that want to be at 1 and near their neighbours, at temperature 1.

    J = ½ Σ_i (a_i - 1)² + ½ k Σ_(i,j) (a_i - a_j)², so that t² g^J = ½ for each agent: the goals
    agree, and whoever leaves terms out misses by what those would have said.

    Attributes:
        graph: "chain" or "grid".
        agents: N; a grid has N = side².
        stiffness: k, in units of the posterior's precision.
    """

    graph: str
    agents: int
    stiffness: float

    @cached_property
    def edges(self) -> list[tuple[int, int]]:
        """The pairs that are coupled.

        Raises:
            UsageError: there is no grid of so many agents.
        """
        if self.graph == "chain":
            return chain(self.agents)
        side = isqrt(self.agents)
        if side * side != self.agents:
            raise UsageError(f"a square grid has 4, 9, 16, ... agents, not {self.agents}")
        return grid(side)

    @cached_property
    def problem(self) -> Problem:
        """The base policies and the cost, with the exact solution."""
        policy = single_gaussian(torch.zeros(1).double(), 2.0 * torch.eye(1).double())
        goal = torch.ones(self.agents).double()
        cost = graph_cost(self.agents, self.edges, self.stiffness, goal)
        return Problem((policy,) * self.agents, cost)

    @cached_property
    def cost(self) -> LocalQuadraticCost:
        """J as a sum of terms."""
        return LocalQuadraticCost(self.problem.cost, self.problem.product.blocks)

    def limit(self, hops: int | None) -> Tensor:
        """What factored guidance tends to as M grows, (N,); None for h that spans the graph."""
        rows, target = self.problem.cost.rows, self.problem.cost.target
        members = row_members(rows, self.problem.product.blocks)
        count = len(rows)
        terms = CostTerms(rows.new_zeros(count, 1), members.new_zeros(count), members, 1)
        near = terms.near(self.agents, self.agents if hops is None else hops).to(rows)
        identity = torch.eye(self.agents, dtype=rows.dtype)
        # One Gaussian an agent: its posterior N(0, I), tilted by the terms near that agent.
        precision = identity + torch.einsum("qd,qn,qe->nde", rows, near, rows)
        pull = torch.einsum("qd,qn,q->nd", rows, near, target)
        shifts: Tensor = torch.linalg.solve(precision, pull)
        return shifts.diagonal()
