"""A distilled policy: it jumps from noise to chunks in one call or two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codi_core.errors import SpecificationError
from codi_core.planning import Observation
from codi_core.policies.chunk_sampler import ChunkSampler
from codi_core.policies.diffusion import DiffusionPolicy


class Student(nn.Module, ChunkSampler):
    """Samples a policy in as many calls of a network as it has noise levels.

    Where a denoiser says E[a | a_t], the network G(a_t, t) says where the probability-flow ODE
    through a_t ends. One call from pure noise is a sample. A further call takes noise t ε off
    that was put on what the last one said, as in the multistep sampling of Song et al. (2023,
    Algorithm 1): what was blurred or wrong on a scale below t is drawn anew.

    Args:
        jump: the network with its normalisation and preconditioning. What its denoiser says is G,
            so that it is never to be used as a policy.
        levels: the noise levels of the calls, falling.

    Raises:
        SpecificationError: the levels do not fall, or the policy does not know them.
    """

    def __init__(self, jump: DiffusionPolicy, levels: Sequence[float]) -> None:
        super().__init__()
        low, high = jump.spec.sigma_range
        falling = all(a > b for a, b in zip(levels, levels[1:], strict=False))
        if not levels or not falling or levels[-1] < low or levels[0] > high:
            raise SpecificationError(
                f"a student needs falling noise levels between {low:g} and {high:g}, "
                f"not {list(levels)}"
            )
        self.jump = jump
        self.levels = tuple(float(level) for level in levels)
        self.spec = jump.spec
        self.normaliser = jump.normaliser
        self.noise_size = len(self.levels) * jump.spec.action.size

    def sample(self, observation: Observation, noise: Tensor) -> Tensor:
        """Turn noise (B, ..., noise_size) into normalised flat chunks (B, ..., K·A)."""
        jump = self.jump.denoiser(observation)
        parts = torch.split(noise, self.spec.action.size, -1)
        chunk = torch.zeros_like(parts[0])
        for level, part in zip(self.levels, parts, strict=True):
            sigma = torch.full((), level, dtype=noise.dtype, device=noise.device)
            chunk = jump(chunk + level * part, sigma)
        return chunk
