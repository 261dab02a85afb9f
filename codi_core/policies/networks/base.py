"""The interface of the networks F_theta inside a denoiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn


class DenoisingNetwork(nn.Module, ABC):
    """F_theta of Karras et al. (2022), Eq. 7, split so that observations are encoded once.

    Each network is made from (horizon, action_size, conditioning_size) and its own options.

    Attributes:
        kind: the name under which checkpoints and the command line know the network.
        last_layer: the name of the submodule that makes F_theta: with zeros in it, F_theta is zero.
        options: the options that it was made with, JSON-able, so that it can be made again.
    """

    kind: ClassVar[str]
    last_layer: ClassVar[str]
    options: dict[str, Any]

    @abstractmethod
    def encode(self, conditioning: Tensor) -> Tensor:
        """Encode flat normalised observations (B, C) into embeddings (B, E), once per plan."""

    def modulate(self, noise: Tensor, embedding: Tensor) -> Tensor | None:
        """What :meth:`forward` makes of noise levels and embeddings alone, or None.

        A network that can do this for all noise levels of a plan at once saves it at each step.

        Args:
            noise: c_noise of L noise levels, (L,).
            embedding: what :meth:`encode` returned, (R, E).

        Returns:
            (L, R, F), or None if the network prepares nothing.
        """
        return None

    @abstractmethod
    def forward(
        self, noisy: Tensor, noise: Tensor, embedding: Tensor, modulation: Tensor | None = None
    ) -> Tensor:
        """F_theta on R rows.

        Args:
            noisy: scaled noisy chunks, (R, K, A).
            noise: c_noise of each row, (R,) or (1,) if all rows share it.
            embedding: what :meth:`encode` returned, one row each, (R, E).
            modulation: what :meth:`modulate` returned for these rows and this level, (R, F); None
                computes it.

        Returns:
            (R, K, A).
        """
