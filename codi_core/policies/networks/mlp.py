"""A residual multi-layer perceptron on flat chunks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codi_core.defaults import MLP_DEPTH, MLP_EXPANSION, MLP_WIDTH
from codi_core.policies.networks.activation import mish
from codi_core.policies.networks.embedding import NoiseEmbedding
from codi_core.policies.networks.film import FilmNetwork
from codi_core.policies.networks.products import RowLinear


class _ResidualLayers(nn.Module):
    """x + W₂ mish(W₁ film(norm(x))): (R, W) -> (R, W)."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.first = RowLinear(width, expansion * width)
        self.second = RowLinear(expansion * width, width)

    def forward(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        hidden = torch.addcmul(shift, self.norm(x), scale)
        out: Tensor = x + self.second(mish(self.first(hidden)))
        return out


class ResidualMLP(FilmNetwork):
    """Pre-normalised residual layers with FiLM of scale and shift.

    Args:
        horizon: K, actions in a chunk.
        action_size: A, values in one action.
        conditioning_size: C, values in a flat observation.
        width: the width of the residual stream.
        depth: the number of residual layers.
        expansion: how many times wider their hidden layers are.
        embedding_size: E, the size of the embedding that conditions the layers.
    """

    kind = "mlp"
    last_layer = "leave"

    def __init__(
        self,
        horizon: int,
        action_size: int,
        conditioning_size: int,
        width: int = MLP_WIDTH,
        depth: int = MLP_DEPTH,
        expansion: int = MLP_EXPANSION,
        embedding_size: int = 128,
    ) -> None:
        super().__init__()
        self.width = width
        self.options = {
            "width": width,
            "depth": depth,
            "expansion": expansion,
            "embedding_size": embedding_size,
        }
        chunk_size = horizon * action_size
        self.noise = nn.Sequential(
            NoiseEmbedding(embedding_size), RowLinear(embedding_size, embedding_size)
        )
        self.observation = nn.Sequential(
            RowLinear(conditioning_size, 2 * embedding_size),
            nn.Mish(),
            RowLinear(2 * embedding_size, embedding_size),
        )
        self.enter = RowLinear(chunk_size, width)
        self.layers = nn.ModuleList(_ResidualLayers(width, expansion) for _ in range(depth))
        self.film = RowLinear(embedding_size, 2 * depth * width)
        self.norm = nn.LayerNorm(width)
        self.leave = RowLinear(width, chunk_size)
        with torch.no_grad():
            self.film.weight.mul_(0.1)
            self.film.bias.copy_(torch.tensor([1.0, 0.0]).repeat(depth).repeat_interleave(width))

    def forward(
        self, noisy: Tensor, noise: Tensor, embedding: Tensor, modulation: Tensor | None = None
    ) -> Tensor:
        """F_theta on R rows: (R, K, A), (R,) or (1,), (R, E) -> (R, K, A)."""
        film = self.parameters_for(noise, embedding) if modulation is None else modulation
        parameters = iter(torch.split(film, self.width, 1))
        x = self.enter(noisy.flatten(1))
        for layer in self.layers:
            x = layer(x, next(parameters), next(parameters))
        out: Tensor = self.leave(self.norm(x)).view(noisy.shape)
        return out
