"""A learned residual on a frozen base policy, Eq. 45."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codi_core.errors import CheckpointError, SpecificationError
from codi_core.policies import DiffusionPolicy, ProductPolicy
from codi_core.policies.networks import DenoisingNetwork
from codi_core.training.checkpoint import read_weights, write_tensors


class ResidualNetwork(DenoisingNetwork):
    """F = F_base + F_res: a frozen network, and a trainable one of the same architecture.

    With D = c_skip a_t + c_out F, the residual adds c_out F_res / t² to the score: the learned
    guidance g_psi of Eq. 45. F_res starts from the base's weights with a last layer of zeros, so
    that the first policy is the base itself.

    Args:
        base: F_base, which is frozen.
    """

    kind = "residual"

    def __init__(self, base: DenoisingNetwork) -> None:
        super().__init__()
        self.options = {}
        self.residual = copy.deepcopy(base).requires_grad_(True)
        self.base = base.requires_grad_(False)
        for parameter in self.residual.get_submodule(base.last_layer).parameters():
            nn.init.zeros_(parameter)

    def encode(self, conditioning: Tensor) -> Tensor:
        """Encode flat normalised observations (B, C) for both networks, (B, 2 E)."""
        return torch.cat([part.encode(conditioning) for part in (self.base, self.residual)], -1)

    def modulate(self, noise: Tensor, embedding: Tensor) -> Tensor | None:
        """What depends on noise levels (L,) and embeddings (R, 2 E) alone, (L, R, 2 F)."""
        halves = zip((self.base, self.residual), embedding.chunk(2, -1), strict=True)
        made = [part.modulate(noise, half) for part, half in halves]
        return None if made[0] is None or made[1] is None else torch.cat([made[0], made[1]], -1)

    def forward(
        self, noisy: Tensor, noise: Tensor, embedding: Tensor, modulation: Tensor | None = None
    ) -> Tensor:
        """F on R rows: (R, K, A), (R,) or (1,), (R, 2 E) -> (R, K, A)."""
        of_base, of_residual = embedding.chunk(2, -1)
        known = (None, None) if modulation is None else modulation.chunk(2, -1)
        frozen: Tensor = self.base(noisy, noise, of_base, known[0])
        learnt: Tensor = self.residual(noisy, noise, of_residual, known[1])
        return frozen + learnt


def frozen_base(product: ProductPolicy) -> DiffusionPolicy:
    """The joint policy that is fine-tuned: the one factor of a product.

    Raises:
        SpecificationError: there are several factors, or a policy of another kind.
    """
    if len(product.factors) != 1:
        raise SpecificationError(
            f"fine-tuning takes one policy that acts for all agents; these are "
            f"{len(product.factors)}: choose a joint one with --policy"
        )
    policy = product.factors[0].policy
    if not isinstance(policy, DiffusionPolicy):
        raise SpecificationError(
            f"fine-tuning takes a policy of codi-train; this one is {type(policy).__name__}"
        )
    return policy


def residual_policy(base: DiffusionPolicy) -> DiffusionPolicy:
    """The policy of Eq. 45 on a frozen base; it is the base as long as nothing is learnt.

    Args:
        base: its network and normalisers are shared, and frozen.
    """
    normalisers = zip(base.spec.observation, base.observation_normalisers, strict=True)
    return DiffusionPolicy(
        base.spec,
        ResidualNetwork(base.network),
        base.normaliser,
        dict(normalisers),  # type: ignore[arg-type]
        sigma_data=base.sigma_data,
        noise_mean=base.noise_mean,
        noise_std=base.noise_std,
    )


def save_residual(policy: DiffusionPolicy, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write the residual alone, with metadata that name the base it stands on."""
    tensors = _residual_of(policy).state_dict()
    write_tensors(
        path, {name: value.cpu().contiguous() for name, value in tensors.items()}, metadata
    )


def load_residual(path: Path, base: DiffusionPolicy) -> DiffusionPolicy:
    """Put a residual that was saved on its base, ready to plan with.

    Args:
        path: the checkpoint.
        base: the frozen base; that it is the one that the checkpoint names has been checked.

    Raises:
        CheckpointError: the file is damaged, or of another architecture.
    """
    policy = residual_policy(base)
    try:
        _residual_of(policy).load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit its base policy, whose network is another one ({error}): copy or "
            "train it again"
        ) from error
    return policy.requires_grad_(False).eval()


def _residual_of(policy: DiffusionPolicy) -> DenoisingNetwork:
    network = policy.network
    assert isinstance(network, ResidualNetwork)
    return network.residual
