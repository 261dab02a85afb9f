"""What the networks share that are conditioned by feature-wise scales and shifts (FiLM)."""

from __future__ import annotations

from torch import Tensor, nn

from codi_core.policies.networks.activation import mish
from codi_core.policies.networks.base import DenoisingNetwork


class FilmNetwork(DenoisingNetwork):
    """Makes the FiLM parameters of all layers with one linear map.

    Attributes:
        noise: embeds noise levels, (..., 1) or (R,) to (..., E).
        observation: embeds flat observations, (B, C) to (B, E).
        film: from the sum of both embeddings to the parameters of all layers, (..., E) to (..., F).
    """

    noise: nn.Module
    observation: nn.Module
    film: nn.Linear

    def encode(self, conditioning: Tensor) -> Tensor:
        """Encode flat normalised observations (B, C) into embeddings (B, E)."""
        embedding: Tensor = self.observation(conditioning)
        return embedding

    def modulate(self, noise: Tensor, embedding: Tensor) -> Tensor:
        """The FiLM parameters of all levels and rows, (L,) and (R, E) to (L, R, F)."""
        return self.parameters_for(noise.unsqueeze(-1), embedding)

    def parameters_for(self, noise: Tensor, embedding: Tensor) -> Tensor:
        """The FiLM parameters (R, F) of rows with their noise levels, (R,) or (1,), and (R, E)."""
        film: Tensor = self.film(mish(self.noise(noise) + embedding))
        return film
