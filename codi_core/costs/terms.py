"""The terms of a cost, and the sums of those that concern an agent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import attrs
import torch
from torch import Tensor

from codi_core.errors import CostError
from codi_core.resources import can_branch_on, indices

AT_ONCE = 2**26
"""Numbers that sums on a GPU hold at once, half a GiB in double precision."""


@attrs.frozen(eq=False)
class CostTerms:
    """T terms of a cost in B worlds, for M samples.

    Two agents of a world are neighbours where a term involves both. The same terms stand for all
    samples.

    Attributes:
        values: (T, M), lower is better. As with a whole cost, +inf forbids a sample and NaN loses
            it, here for the agents that the term involves.
        world: (T,) int64, the world of each term.
        members: (T, k) int64, the agents that a term involves. A term of fewer than k agents
            repeats one.
        worlds: B. A world may have no term.
    """

    values: Tensor
    world: Tensor
    members: Tensor
    worlds: int

    @classmethod
    def of_agents(cls, values: Tensor) -> CostTerms:
        """One term per agent, from values (B, N, M)."""
        worlds, agents, _ = values.shape
        world, members = _each_agent(worlds, agents, values.device)
        return cls(values.flatten(0, 1), world, members, worlds)

    @classmethod
    def nothing(cls, like: Tensor) -> CostTerms:
        """No term at all, for as many worlds and samples as (B, N, M) values have."""
        worlds, _, samples = like.shape
        world, members = _each_agent(worlds, 0, like.device)
        return cls(like.new_zeros(0, samples), world, members, worlds)

    @classmethod
    def joined(cls, parts: Sequence[CostTerms]) -> CostTerms:
        """The terms of all parts.

        Raises:
            CostError: they are not of the same worlds and samples.
        """
        sizes = {(part.worlds, part.samples) for part in parts}
        if len(sizes) > 1:
            raise CostError(f"costs have terms of different (worlds, samples): {sorted(sizes)}")
        width = max(part.members.shape[1] for part in parts)
        return cls(
            torch.cat([part.values for part in parts]),
            torch.cat([part.world for part in parts]),
            torch.cat([_padded(part.members, width) for part in parts]),
            parts[0].worlds,
        )

    @property
    def samples(self) -> int:
        """M."""
        return self.values.shape[1]

    def scaled(self, weight: float) -> CostTerms:
        """The same terms, multiplied with a weight."""
        return CostTerms(weight * self.values, self.world, self.members, self.worlds)

    def total(self) -> Tensor:
        """J, the sum of all terms of each world, (B, M)."""
        if self.worlds == 1 and not can_branch_on(self.values):
            return self.values.sum(0, keepdim=True)  # not all at one place, one after another
        total = _nothing_yet(self.values, self.worlds)
        total.index_add_(0, self.world, self.values.to(total.dtype))
        return total.to(self.values.dtype)

    def involving(self, agents: int) -> Tensor:
        """The sum of the terms that involve each of N agents, each counted in full, (B, N, M)."""
        share = _nothing_yet(self.values, self.worlds * agents)
        values = self.values.to(share.dtype)
        first, *others = (self.world.unsqueeze(-1) * agents + self.members).unbind(-1)
        share.index_add_(0, first, values)
        for place, rows in enumerate(others, start=1):
            # A term of fewer agents repeats one, which must not count twice.
            member = self.members[:, place, None]
            new = (self.members[:, :place] != member).all(-1)
            if can_branch_on(new):
                chosen = new.nonzero().squeeze(-1)
                share.index_add_(0, rows[chosen], values[chosen])
            else:
                share.index_add_(0, rows, torch.where(new.unsqueeze(-1), values, 0.0))
        return torch.unflatten(share.to(self.values.dtype), 0, (self.worlds, agents))

    def within(self, agents: int, hops: int, groups: Sequence[int] | None = None) -> Tensor:
        """J^(h): the sum of the terms within h hops of each agent, each counted in full.

        Args:
            agents: N.
            hops: h. With 0 these are the terms that involve the agent, with 1 also all terms that
                involve a neighbour of it, and so on.
            groups: the group of each of the N agents, numbered from 0. A term counts for a group
                if it does for one of its agents. Each agent is its own group by default.

        Returns:
            (B, N, M), or (B, G, M) for G groups.
        """
        if hops == 0 and groups is None:
            return self.involving(agents)
        near = self.near(agents, hops)
        if groups is not None:
            near = _grouped(near, tuple(groups))
        if can_branch_on(near) and bool(near.all()):
            return self.total().unsqueeze(1).expand(-1, near.shape[1], -1)
        return self._near_some(near) if can_branch_on(near) else self._near_any(near)

    def _near_some(self, near: Tensor) -> Tensor:
        """Sums (B, G, M) of the terms that are near (T, G), in time that grows with their number.

        Sparse, because 0 · inf must not come in.
        """
        count = near.shape[1]
        term, group = near.nonzero().unbind(-1)
        chosen = torch.sparse_coo_tensor(
            torch.stack((self.world[term] * count + group, term)),
            self.values.new_ones(len(term)),
            (self.worlds * count, len(self.values)),
            check_invariants=False,
        )
        return torch.unflatten(torch.sparse.mm(chosen, self.values), 0, (self.worlds, count))

    def _near_any(self, near: Tensor) -> Tensor:
        """The same in sizes that don't depend on which are near, as a GPU wants it.

        Some groups at a time: all terms are looked at for each of them.
        """
        values = self.values.unsqueeze(1)
        most = max(1, AT_ONCE // max(1, self.values.numel()))
        sums = []
        for some in torch.split(near, most, dim=1):
            share = self.values.new_zeros(
                self.worlds, some.shape[1], self.samples, dtype=torch.float64
            )
            chosen = torch.where(some.unsqueeze(-1), values, 0.0)
            sums.append(share.index_add_(0, self.world, chosen.to(share.dtype)))
        return torch.cat(sums, 1).to(self.values.dtype)

    def near(self, agents: int, hops: int) -> Tensor:
        """Whether each term is within h hops of each of N agents, (T, N) booleans."""
        reached = self.reached(agents, hops)
        near = reached.new_zeros(len(self.members), agents)
        for member in self.members.unbind(-1):
            near |= reached[self.world, member]
        return near

    def reached(self, agents: int, hops: int) -> Tensor:
        """Which of N agents are within h hops of each other, themselves included: (B, N, N)."""
        itself = torch.eye(agents, device=self.values.device).expand(self.worlds, -1, -1)
        adjacent, reached = itself.clone(), itself
        for first, second in combinations(self.members.unbind(-1), 2):
            adjacent[self.world, first, second] = 1.0
            adjacent[self.world, second, first] = 1.0
        for _ in range(hops):
            wider = (reached @ adjacent).clamp_max_(1.0)
            if can_branch_on(wider) and torch.equal(wider, reached):
                break
            reached = wider
        return reached > 0


def _nothing_yet(values: Tensor, rows: int) -> Tensor:
    """Zeros (rows, M) that values (T, M) are to be added to.

    A GPU adds in another order at each call. With twice the precision that hardly ever shows.
    """
    precise = values.dtype if can_branch_on(values) else torch.float64
    return values.new_zeros(rows, values.shape[1], dtype=precise)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # it outlives the plan that asks first
def _each_agent(worlds: int, agents: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The worlds (B·N,) and members (B·N, 1) of one term per agent; a plan asks again and again."""
    world = torch.arange(worlds, device=device).repeat_interleave(agents)
    return world, torch.arange(agents, device=device).repeat(worlds).unsqueeze(-1)


def _padded(members: Tensor, width: int) -> Tensor:
    lacking = width - members.shape[1]
    if lacking and members.shape[1] == 1:
        return members.expand(-1, width)
    return torch.cat([members, members[:, -1:].expand(-1, lacking)], 1) if lacking else members


def _grouped(near: Tensor, groups: tuple[int, ...]) -> Tensor:
    """From (T, N) to (T, G): whether a term is near one of the group's agents."""
    count = near.new_zeros(len(near), max(groups) + 1, dtype=torch.int32)
    return count.index_add_(1, indices(groups, near.device), near.int()) > 0
