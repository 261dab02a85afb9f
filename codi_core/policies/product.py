"""The product of the base policies, Eq. 13."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Observation, prepare
from codi_core.policies.base import ActionSpec
from codi_core.policies.factor import Factor


class ProductPolicy:
    """p^{1:N}(a | s) = Π_i p^{(i)}(a^{(i)} | f_single^{(i)}(s)).

    Its score stacks the factors' scores (Eq. 13c), and so its denoiser stacks their denoisers.
    Factors that share a policy are evaluated in one batched call.

    Args:
        factors: they partition the agents 0 … N-1 and agree on horizon, rate and offset.

    Raises:
        SpecificationError: the factors overlap, leave an agent out, or disagree.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.factors = tuple(factors)
        self.agents = self._check_partition()
        self._check_agreement()
        self.blocks = self._layout()
        self.size = self.blocks[-1].stop
        low = max(factor.policy.spec.sigma_range[0] for factor in self.factors)
        high = min(factor.policy.spec.sigma_range[1] for factor in self.factors)
        if low >= high:
            raise SpecificationError("the base policies' ranges of noise levels do not overlap")
        self.sigma_range = (low, high)

    @property
    def action(self) -> ActionSpec:
        """The first factor's action specification; all agree on horizon, rate and offset."""
        return self.factors[0].policy.spec.action

    def denoiser(self, observation: Observation) -> Denoiser:
        """The stacked denoiser on flat joint chunks (B, ..., D), for a joint observation."""
        parts = [
            (members, self._group_denoiser(members, observation)) for members in self._groups()
        ]
        return _ProductDenoiser(self.blocks, parts)

    def decode(self, flat: Tensor) -> tuple[Tensor, ...]:
        """From normalised flat joint chunks (..., D) to one physical chunk an agent, in order."""
        chunks: list[Tensor | None] = [None] * self.agents
        for factor, block in zip(self.factors, self.blocks, strict=True):
            for agent, chunk in zip(factor.agents, factor.decode(flat[..., block]), strict=True):
                chunks[agent] = chunk
        return tuple(chunk for chunk in chunks if chunk is not None)

    def encode(self, chunks: Sequence[Tensor]) -> Tensor:
        """The inverse of :meth:`decode`."""
        return torch.cat(
            [
                factor.encode(tuple(chunks[agent] for agent in factor.agents))
                for factor in self.factors
            ],
            dim=-1,
        )

    def _group_denoiser(self, members: list[int], observation: Observation) -> Denoiser:
        views = [self.factors[index].observe(observation) for index in members]
        policy = self.factors[members[0]].policy
        # The plan's history is the longest that any factor wants.
        recent = slice(-policy.spec.history, None)
        stacked = {name: torch.cat([view[name][:, recent] for view in views]) for name in views[0]}
        return policy.denoiser(stacked)

    def _groups(self) -> list[list[int]]:
        groups: dict[int, list[int]] = {}
        for index, factor in enumerate(self.factors):
            groups.setdefault(id(factor.policy), []).append(index)
        return list(groups.values())

    def _layout(self) -> tuple[slice, ...]:
        blocks, start = [], 0
        for factor in self.factors:
            blocks.append(slice(start, start + factor.size))
            start += factor.size
        return tuple(blocks)

    def _check_partition(self) -> int:
        covered = sorted(agent for factor in self.factors for agent in factor.agents)
        if not covered or covered != list(range(len(covered))):
            raise SpecificationError(
                "the factors must cover each agent exactly once, numbered from 0; "
                f"they cover {covered}"
            )
        return len(covered)

    def _check_agreement(self) -> None:
        first = self.factors[0].policy.spec.action
        for factor in self.factors[1:]:
            for field in ("horizon", "rate_hz", "offset"):
                mine, other = getattr(first, field), getattr(factor.policy.spec.action, field)
                if mine != other:
                    raise SpecificationError(
                        f"factors differ in {field}: agents {self.factors[0].agents} have {mine}, "
                        f"agents {factor.agents} have {other}"
                    )


class _ProductDenoiser:
    """Stacks the denoisers of groups of factors; the factors of a group share a policy.

    Args:
        blocks: the columns of each factor.
        parts: the factors of each group, by number, and their denoiser.
    """

    def __init__(
        self, blocks: Sequence[slice], parts: Sequence[tuple[list[int], Denoiser]]
    ) -> None:
        self.blocks = blocks
        self.parts = parts

    def prepare(self, levels: Tensor) -> None:
        """Tell the policies' denoisers which noise levels (L,) will come."""
        for _, part in self.parts:
            prepare(part, levels)

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """D(a_t, sigma), from (B, ..., D) and () or (B,) to (B, ..., D)."""
        rows: list[Tensor] = [noisy] * len(self.blocks)
        for members, part in self.parts:
            stacked = torch.cat([noisy[..., self.blocks[index]] for index in members])
            levels = sigma.repeat(len(members)) if sigma.ndim else sigma
            found = part(stacked, levels).chunk(len(members))
            for index, row in zip(members, found, strict=True):
                rows[index] = row
        return torch.cat(rows, -1)
