"""What base policies a task has room for: who is covered, what is read, what is written."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path

import attrs

from codi_core.policies import PolicySpec
from codi_core.policies.factor import ObservationMap


@attrs.frozen
class FactorLayout:
    """One factor of a product policy, but for its policy.

    Attributes:
        kind: factors of one kind share one policy.
        agents: the indices of the agents that it covers.
        observe: the observation map f_single^(i): from the joint observation to what the policy
            reads.
        spec: what the policy must read and write.
        action_sizes: A_i of each covered agent; () stands for equal shares.
    """

    kind: str
    agents: tuple[int, ...]
    observe: ObservationMap
    spec: PolicySpec
    action_sizes: tuple[int, ...] = ()


@attrs.frozen
class PolicyOffer:
    """A set of base policies that a task offers under one name, such as "single-agent" or "joint".

    Attributes:
        summary: one line for lists and help texts.
        factors: they partition the agents.
        checkpoints: the shipped checkpoint of each kind, if there is one.
        students: shipped students of these, for methods that draw samples. Each names its teacher.
        policy: the registered base policy that is made for each kind, see ``codi_base_policies``.
    """

    summary: str
    factors: tuple[FactorLayout, ...]
    checkpoints: Mapping[str, Path] = attrs.field(factory=dict)
    students: tuple[Path, ...] = ()
    policy: str = "diffusion"

    @property
    def kinds(self) -> dict[str, PolicySpec]:
        """What the policy of each kind reads and writes."""
        return {factor.kind: factor.spec for factor in self.factors}

    @property
    def action_names(self) -> tuple[tuple[str, ...], ...]:
        """By agent, the names of the values of its action."""
        found: dict[int, tuple[str, ...]] = {}
        for factor in self.factors:
            names = factor.spec.action.names
            share = len(names) // len(factor.agents)
            sizes = factor.action_sizes or (share,) * len(factor.agents)
            ends = list(accumulate(sizes, initial=0))
            for agent, first, last in zip(factor.agents, ends, ends[1:], strict=False):
                found[agent] = names[first:last]
        return tuple(found[agent] for agent in sorted(found))
