"""The noise-conditioned cost model J_φ(s, a_t; t) of Eq. 47."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from codi_core.defaults import SIGMA_DATA
from codi_core.planning import ChunkLayout, Observation
from codi_core.policies import Normaliser, ProductPolicy
from codi_core.policies.diffusion import precondition
from codi_core.policies.networks import DenoisingNetwork, build_network


class CostModel(nn.Module):
    """Foresees from a noisy joint chunk what a noise-free one will cost.

    The network is one of those inside denoisers, with a linear map from its output to one number.

    Args:
        network: for K joint actions of all factors.
        widths: the number of values in one action of each factor, in the order of their columns.
        observation: normalises what the factors observe, flattened one after another, (C,).
        sigma_data: standard deviation of the normalised actions.

    Attributes:
        mean: of the costs in training, ().
        spread: their standard deviation, ().
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        network: DenoisingNetwork,
        widths: Sequence[int],
        horizon: int,
        observation: Normaliser,
        sigma_data: float = SIGMA_DATA,
    ) -> None:
        super().__init__()
        self.network = network
        self.widths = tuple(widths)
        self.horizon = horizon
        self.observation = observation
        self.sigma_data = sigma_data
        self.head = nn.Linear(horizon * sum(self.widths), 1)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    @classmethod
    def build(
        cls,
        layout: ChunkLayout,
        observation: Normaliser,
        kind: str = "mlp",
        sigma_data: float = SIGMA_DATA,
        **options: Any,
    ) -> CostModel:
        """Make an untrained model for the chunks of a layout.

        Args:
            layout: what the chunks mean.
            observation: normalises what the factors observe.
            kind: the name of the network.
            sigma_data: standard deviation of the normalised actions.
            options: of the network.
        """
        widths = [(block.stop - block.start) // layout.horizon for block in layout.blocks]
        network = build_network(
            kind, layout.horizon, sum(widths), observation.mean.numel(), **options
        )
        return cls(network, widths, layout.horizon, observation, sigma_data)

    def describe(self) -> dict[str, Any]:
        """What it takes to make the model again for the same layout, JSON-able."""
        return {
            "architecture": {"network": self.network.kind, "options": self.network.options},
            "conditioning": self.observation.mean.numel(),
            "sigma_data": self.sigma_data,
        }

    def encode(self, conditioning: Tensor) -> Tensor:
        """Encode flat observations (B, C) in physical units into embeddings (B, E)."""
        return self.network.encode(self.observation.encode(conditioning))

    def forward(self, noisy: Tensor, sigma: Tensor, embedding: Tensor) -> Tensor:
        """The foreseen cost of R rows, (R,), in the cost's own units.

        Args:
            noisy: flat joint chunks a_t, (R, D).
            sigma: noise levels, (R,) or (1,) if all rows share one.
            embedding: what :meth:`encode` returned, (R, E).
        """
        factors = precondition(sigma, self.sigma_data)
        scaled = self._side_by_side(noisy * factors.scale_in[:, None])
        raw: Tensor = self.network(scaled, factors.noise, embedding).flatten(1)
        cost: Tensor = self.mean + self.spread * self.head(raw).squeeze(-1)
        return cost

    def _side_by_side(self, flat: Tensor) -> Tensor:
        """Flat joint chunks (R, D) as joint actions (R, K, A)."""
        blocks = torch.split(flat, [self.horizon * width for width in self.widths], -1)
        chunks = [torch.unflatten(block, -1, (self.horizon, -1)) for block in blocks]
        return torch.cat(chunks, -1)


def conditioning(product: ProductPolicy, observation: Observation, worlds: int) -> Tensor:
    """What the factors observe of a joint observation, flattened one after another, (B, C)."""
    parts = [product.factors[0].policy.normaliser.mean.new_zeros(worlds, 0)]
    for factor in product.factors:
        spec, seen = factor.policy.spec, factor.observe(observation)
        parts.extend(seen[name][:, -spec.history :].flatten(1) for name in spec.observation)
    return torch.cat(parts, -1)
