"""Networks inside denoisers."""

from __future__ import annotations

from typing import Any

from codi_core.errors import SpecificationError
from codi_core.policies.networks.base import DenoisingNetwork
from codi_core.policies.networks.embedding import NoiseEmbedding
from codi_core.policies.networks.mlp import ResidualMLP
from codi_core.policies.networks.unet import UNet

NETWORKS: dict[str, type[UNet] | type[ResidualMLP]] = {
    network.kind: network for network in (UNet, ResidualMLP)
}
"""The networks that checkpoints may name."""


def build_network(
    kind: str, horizon: int, action_size: int, conditioning_size: int, **options: Any
) -> DenoisingNetwork:
    """Make a network by its name.

    Args:
        kind: one of :data:`NETWORKS`.
        horizon: K, actions in a chunk.
        action_size: A, values in one action.
        conditioning_size: C, values in a flat observation with its history.
        options: keyword arguments of the network's class.

    Raises:
        SpecificationError: an unknown name or option, or options that do not fit.
    """
    if kind not in NETWORKS:
        raise SpecificationError(f"unknown network '{kind}': choose {' or '.join(NETWORKS)}")
    try:
        return NETWORKS[kind](horizon, action_size, conditioning_size, **options)
    except TypeError as error:
        raise SpecificationError(f"network '{kind}': {error}") from error


__all__ = [
    "NETWORKS",
    "DenoisingNetwork",
    "NoiseEmbedding",
    "ResidualMLP",
    "UNet",
    "build_network",
]
