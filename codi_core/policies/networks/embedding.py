"""The embedding of the noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class NoiseEmbedding(nn.Module):
    """Sines and cosines of c_noise = ln(sigma)/4 at geometrically spaced frequencies.

    Args:
        size: the number of values, even.
        lowest: the lowest frequency [rad per unit of c_noise].
        highest: the highest frequency; ln(sigma)/4 spans about 3 over the noise levels in use,
            and much finer structure than a hundredth of that is not wanted.
    """

    frequencies: Tensor

    def __init__(self, size: int, lowest: float = 1.0, highest: float = 100.0) -> None:
        super().__init__()
        exponents = torch.linspace(math.log(lowest), math.log(highest), size // 2)
        self.register_buffer("frequencies", exponents.exp(), persistent=False)

    def forward(self, noise: Tensor) -> Tensor:
        """From c_noise (R,) to its embedding (R, size)."""
        phase = noise.unsqueeze(-1) * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], -1)
