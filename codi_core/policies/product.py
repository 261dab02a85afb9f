"""The product of the base policies, Eq. 13."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import ChunkLayout, Denoiser, Observation, prepare
from codi_core.planning.checks import Calling, CheckedDenoiser, check_finite, described
from codi_core.policies.base import ActionSpec, BasePolicy
from codi_core.policies.factor import Factor
from codi_core.policies.precision import RoundedDenoiser, evaluated_in
from codi_core.policies.views import ByAgent
from codi_core.resources import PRECISIONS, indices


class ProductPolicy:
    """p^{1:N}(a | s) = Π_i p^{(i)}(a^{(i)} | f_single^{(i)}(s)).

    Its score stacks the factors' scores (Eq. 13c), and so its denoiser stacks their denoisers.
    Factors that share a policy are evaluated in one batched call.

    Args:
        factors: they partition the agents 0 … N-1 and agree on horizon, rate and offset.
        precision: in which the policies are evaluated, one of
            :data:`codi_core.resources.PRECISIONS`.

    Attributes:
        factors: the factors.
        precision: in which the policies are evaluated.
        agents: N.
        layout: what the flat joint chunks mean, and what the policies read.

    Raises:
        SpecificationError: the factors overlap, leave an agent out, or disagree.
    """

    def __init__(self, factors: Sequence[Factor], precision: str = PRECISIONS[0]) -> None:
        self.factors = tuple(factors)
        self.precision = precision
        self.agents = self._check_partition()
        self._check_agreement()
        self.layout = self._layout()
        self._groups = self._grouped()
        self._one_each = [factor.agents for factor in self.factors] == [
            (agent,) for agent in range(self.agents)
        ]

    @property
    def size(self) -> int:
        """D, the number of values in a flat joint chunk."""
        return self.layout.size

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The columns of each factor in a flat joint chunk."""
        return self.layout.blocks

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The noise levels (lowest, highest) that all policies know."""
        return self.layout.sigma_range

    @property
    def device(self) -> torch.device:
        """Where flat joint chunks are."""
        return self.factors[0].policy.normaliser.mean.device

    @property
    def action(self) -> ActionSpec:
        """The first factor's action specification; all agree on horizon, rate and offset."""
        return self.factors[0].policy.spec.action

    @property
    def policies(self) -> tuple[BasePolicy, ...]:
        """The factors' policies, each one once."""
        return tuple(self.factors[group.members[0]].policy for group in self._groups)

    def denoiser(self, observation: Observation) -> Denoiser:
        """The stacked denoiser on flat joint chunks (B, ..., D), for a joint observation."""
        views = self.views(observation)
        pairs = zip(self.policies, views, strict=True)
        parts = [self._group_denoiser(policy, view) for policy, (_, view) in pairs]
        return _ProductDenoiser(self._groups, parts)

    def views(self, observation: Observation) -> list[tuple[tuple[int, ...], Observation]]:
        """What each of :attr:`policies` reads of a joint observation.

        Returns:
            The numbers of its G factors, and the named tensors (G·B, H, ...) that these observe,
            factor after factor.
        """
        joint = ByAgent(observation)
        return [(group.members, self._stacked(group.members, joint)) for group in self._groups]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Flat joint chunks (..., D) of what each of :attr:`policies` made, (G, ..., K·A)."""
        return _joined(self._groups, parts)

    def evaluated(self) -> AbstractContextManager[object]:
        """A context in which networks are evaluated in the product's precision."""
        return evaluated_in(self.precision, self.device)

    def decode(self, flat: Tensor) -> tuple[Tensor, ...]:
        """From normalised flat joint chunks (..., D) to one physical chunk per agent, in order."""
        chunks: list[Tensor | None] = [None] * self.agents
        for group in self._groups:
            # One call a group: factor by factor it would take longer than the cost of many agents.
            first = self.factors[group.members[0]]
            stacked = first.policy.normaliser.decode(first.unflatten(group.stacked(flat)))
            if self._one_each and group.whole:
                return stacked.unbind()
            for index, chunk in zip(group.members, stacked, strict=True):
                factor = self.factors[index]
                for agent, share in zip(factor.agents, factor.split(chunk), strict=True):
                    chunks[agent] = share
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

    def _stacked(self, members: Sequence[int], observation: Observation) -> Observation:
        """What factors with one policy observe, factor after factor."""
        views = [_observed(self.factors[index], observation) for index in members]
        # The plan's history is the longest that any factor wants.
        recent = slice(-self.factors[members[0]].policy.spec.history, None)
        return {name: torch.cat([view[name][:, recent] for view in views]) for name in views[0]}

    def _group_denoiser(self, policy: BasePolicy, view: Observation) -> Denoiser:
        with Calling(policy, ".denoiser()"), self.evaluated():
            denoiser = policy.denoiser(view)
        checked = CheckedDenoiser(denoiser, policy, ".denoiser()")
        if self.precision == PRECISIONS[0]:
            return checked
        return RoundedDenoiser(checked, self.precision)

    def _grouped(self) -> tuple[Columns, ...]:
        """The columns of the factors that share a policy, one entry per policy."""
        groups: dict[int, list[int]] = {}
        for index, factor in enumerate(self.factors):
            groups.setdefault(id(factor.policy), []).append(index)
        return tuple(Columns(self.blocks, tuple(members)) for members in groups.values())

    def _layout(self) -> ChunkLayout:
        sizes = {
            agent: size
            for factor in self.factors
            for agent, size in zip(factor.agents, factor.action_sizes, strict=True)
        }
        return ChunkLayout(
            agents=tuple(factor.agents for factor in self.factors),
            blocks=self._blocks(),
            action_sizes=tuple(sizes[agent] for agent in range(self.agents)),
            horizon=self.action.horizon,
            rate_hz=self.action.rate_hz,
            offset=self.action.offset,
            history=max(factor.policy.spec.history for factor in self.factors),
            observations=tuple(factor.policy.spec.observation for factor in self.factors),
            sigma_range=self._sigma_range(),
        )

    def _blocks(self) -> tuple[slice, ...]:
        blocks, start = [], 0
        for factor in self.factors:
            blocks.append(slice(start, start + factor.size))
            start += factor.size
        return tuple(blocks)

    def _sigma_range(self) -> tuple[float, float]:
        low = max(factor.policy.spec.sigma_range[0] for factor in self.factors)
        high = min(factor.policy.spec.sigma_range[1] for factor in self.factors)
        if low >= high:
            raise SpecificationError("the base policies' ranges of noise levels do not overlap")
        return low, high

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
        groups: the columns of each group.
        parts: their denoisers.
    """

    def __init__(self, groups: Sequence[Columns], parts: Sequence[Denoiser]) -> None:
        self.groups = groups
        self.parts = parts

    def prepare(self, levels: Tensor) -> None:
        """Tell the policies' denoisers which noise levels (L,) will come."""
        for part in self.parts:
            prepare(part, levels)

    def __call__(self, noisy: Tensor, sigma: Tensor) -> Tensor:
        """D(a_t, sigma), from (B, ..., D) and () or (B,) to (B, ..., D)."""
        found = []
        for group, part in zip(self.groups, self.parts, strict=True):
            count = len(group.members)
            levels = sigma.repeat(count) if sigma.ndim else sigma
            rows = part(group.stacked(noisy).flatten(0, 1), levels)
            found.append(torch.unflatten(rows, 0, (count, -1)))
        return _joined(self.groups, found)


def _observed(factor: Factor, observation: Observation) -> Observation:
    """What a factor's policy reads, checked against what the policy says that it reads."""
    name = f"the observation map of the agents {factor.agents}"
    with Calling(name, ""):
        view: object = factor.observe(observation)
    if not isinstance(view, Mapping):
        raise SpecificationError(
            f"{name} returned {described(view)}; it must be named tensors (B, H, ...)"
        )
    spec = factor.policy.spec
    for key, shape in spec.observation.items():
        if key not in view:
            found = ", ".join(view) or "nothing"
            raise SpecificationError(f"{name} returned {found}, without the '{key}' that is read")
        value: object = view[key]
        if not isinstance(value, Tensor) or value.shape[2:] != shape:
            sizes = ", ".join(map(str, ("worlds", "history", *shape)))
            raise SpecificationError(
                f"{name} returned '{key}' as {described(value)}; it must be a tensor ({sizes})"
            )
        check_finite(value, name, f" returned '{key}'")
    return view


class Columns:
    """The columns of G of all F factors, all of the same width n.

    Where all factors are equally wide, no loop over them is needed.

    Args:
        blocks: the columns of each of F factors; they follow one another.
        members: the numbers of the G factors.
    """

    def __init__(self, blocks: Sequence[slice], members: tuple[int, ...]) -> None:
        self.blocks = tuple(blocks)
        self.members = members
        self.even = len({block.stop - block.start for block in blocks}) == 1
        self.whole = self.even and members == tuple(range(len(blocks)))

    def stacked(self, flat: Tensor) -> Tensor:
        """From flat joint chunks (..., D) to (G, ..., n)."""
        if not self.even:
            return torch.stack([flat[..., self.blocks[index]] for index in self.members])
        parts = torch.unflatten(flat, -1, (len(self.blocks), -1)).movedim(-2, 0)
        return parts if self.whole else parts.index_select(0, indices(self.members, flat.device))


def _joined(groups: Sequence[Columns], parts: Sequence[Tensor]) -> Tensor:
    """Flat joint chunks (..., D) from the parts (G, ..., n) of groups that cover all factors."""
    if groups[0].whole:
        return parts[0].movedim(0, -2).flatten(-2)
    rows: dict[int, Tensor] = {}
    for group, part in zip(groups, parts, strict=True):
        rows.update(zip(group.members, part, strict=True))
    return torch.cat([rows[index] for index in range(len(rows))], -1)
