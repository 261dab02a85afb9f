"""A factor of the product policy: one base policy and the agents that it covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.planning import Observation
from codi_core.policies.base import BasePolicy

ObservationMap = Callable[[Observation], Observation]
"""f_single^(i) (Sec. IV): from the joint observation to what one factor's policy reads."""


def _integers(value: Any) -> tuple[int, ...]:
    return tuple(int(agent) for agent in value)


@attrs.frozen
class Factor:
    """One base policy, the agents that it moves, and how it sees the world.

    Attributes:
        policy: the base policy. Factors may share one: they then run as one batched call.
        agents: the indices of the agents that it covers; one for CoDi, all for joint baselines.
        observe: the observation map f_single^(i).
        action_sizes: A_i of each covered agent; they add up to the policy's A.
    """

    policy: BasePolicy
    agents: tuple[int, ...] = attrs.field(converter=_integers)
    observe: ObservationMap
    action_sizes: tuple[int, ...] = attrs.field(converter=_integers, default=())

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.policy, BasePolicy):
            raise SpecificationError(
                f"a factor needs a base policy, which has a denoiser, not a "
                f"{type(self.policy).__name__}"
            )
        dimension = self.policy.spec.action.dimension
        if not self.agents:
            raise SpecificationError("a factor must cover at least one agent")
        if not self.action_sizes:
            if dimension % len(self.agents):
                raise SpecificationError(
                    f"a factor of {len(self.agents)} agents has a policy with {dimension} action "
                    "dimensions: name the share of each agent in action_sizes"
                )
            share = dimension // len(self.agents)
            object.__setattr__(self, "action_sizes", (share,) * len(self.agents))
        if sum(self.action_sizes) != dimension or len(self.action_sizes) != len(self.agents):
            raise SpecificationError(
                f"action_sizes {self.action_sizes} do not split the policy's {dimension} action "
                f"dimensions among {len(self.agents)} agents"
            )

    @property
    def size(self) -> int:
        """The number of columns that the factor owns in a flat joint chunk."""
        return self.policy.spec.action.size

    def decode(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Split normalised flat chunks (..., K·A) into physical chunks (..., K, A_i)."""
        return self.split(self.policy.normaliser.decode(self.unflatten(flat)))

    def unflatten(self, flat: Tensor) -> Tensor:
        """Flat chunks (..., K·A) as (..., K, A)."""
        action = self.policy.spec.action
        return torch.unflatten(flat, -1, (action.horizon, action.dimension))

    def split(self, chunk: Tensor) -> tuple[Tensor, ...]:
        """The agents' shares (..., K, A_i) of chunks (..., K, A)."""
        if len(self.agents) == 1:
            return (chunk,)
        return torch.split(chunk, list(self.action_sizes), -1)

    def encode(self, chunks: tuple[Tensor, ...]) -> Tensor:
        """The inverse of :meth:`decode`."""
        return self.policy.normaliser.encode(torch.cat(chunks, -1)).flatten(-2)
