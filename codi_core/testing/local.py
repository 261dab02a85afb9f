"""Quadratic costs that declare their locality, and graphs of agents that they couple."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostTerms, LocalCost
from codi_core.testing.costs import QuadraticCost, quadratic_cost


@attrs.frozen(eq=False)
class LocalQuadraticCost(LocalCost):
    """A quadratic cost as a sum of terms: one per row, and one per agent for the linear part.

    A row involves the agents whose columns it reads.

    Attributes:
        whole: the cost, on flat joint chunks; each row reads at least one agent's columns.
        blocks: each agent's columns, of equal width and in order.
    """

    whole: QuadraticCost
    blocks: tuple[slice, ...]

    def terms(self, trajectory: Tensor) -> CostTerms:
        """The terms of flat joint chunks (B, M, D)."""
        flat, whole = trajectory.to(self.whole.rows), self.whole
        worlds, agents = len(flat), len(self.blocks)
        miss = flat @ whole.rows.mT - whole.target.unsqueeze(-2)
        members = row_members(whole.rows, self.blocks).repeat(worlds, 1)
        world = torch.arange(worlds, device=flat.device).repeat_interleave(len(whole.rows))
        rows = CostTerms(0.5 * miss.square().mT.flatten(0, 1), world, members, worlds)
        linear = flat * whole.slope.unsqueeze(-2)
        slope = torch.unflatten(linear, -1, (agents, -1)).sum(-1)
        return CostTerms.joined([rows, CostTerms.of_agents(slope.mT + whole.constant / agents)])


def row_members(rows: Tensor, blocks: Sequence[slice]) -> Tensor:
    """The agents whose columns each row reads, (Q, k), repeated where there are fewer."""
    reads = torch.stack([(rows[:, block] != 0).any(-1) for block in blocks], -1)
    found = [row.nonzero().flatten() for row in reads]
    width = max((len(agents) for agents in found), default=1)
    padded = [torch.cat([agents, agents[-1:].expand(width - len(agents))]) for agents in found]
    return torch.stack(padded) if padded else torch.zeros(0, width, dtype=torch.int64)


def chain(agents: int) -> list[tuple[int, int]]:
    """The edges of a chain."""
    return [(agent, agent + 1) for agent in range(agents - 1)]


def grid(side: int) -> list[tuple[int, int]]:
    """The edges of a square grid of side² agents, row by row."""
    return [
        (agent, agent + step)
        for agent in range(side * side)
        for step, fits in ((1, agent % side < side - 1), (side, agent < side * (side - 1)))
        if fits
    ]


def graph_cost(
    agents: int, edges: Sequence[tuple[int, int]], stiffness: float, goal: Tensor, pull: float = 1.0
) -> QuadraticCost:
    """½ u Σ_i (a_i - g_i)² + ½ k Σ_(i,j) (a_i - a_j)², for agents with one value each.

    Args:
        agents: N.
        edges: the pairs (i, j) that are coupled.
        stiffness: k.
        goal: g, (N,).
        pull: u.
    """
    identity = torch.eye(agents, dtype=goal.dtype)
    pairs = [stiffness**0.5 * (identity[first] - identity[second]) for first, second in edges]
    rows = torch.stack([*(pull**0.5 * identity), *pairs])
    return quadratic_cost(rows, torch.cat([pull**0.5 * goal, goal.new_zeros(len(pairs))]))
