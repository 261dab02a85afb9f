"""A distilled policy: it goes from noise to chunks in one call or two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Observation
from codi_core.policies.chunk_sampler import ChunkSampler
from codi_core.policies.diffusion import DiffusionPolicy


class Student(nn.Module, ChunkSampler):
    """Follows the probability-flow ODE of a policy in as many steps as it has noise levels.

    From each level one call of a network jumps along the ODE to the next one, and from the last
    one to its end, as in progressive distillation (Salimans and Ho, 2022). For a policy's denoiser
    D a step from t to t' is Euler's, D + (t'/t) (a_t - D); here the network stands for that D with
    which this step is exact. So chunks are a deterministic function of their noise.

    Args:
        jump: the network with its normalisation and preconditioning. What its denoiser says is no
            E[a | a_t], so that it is never to be used as a policy.
        levels: the noise levels of the calls, falling.

    Raises:
        SpecificationError: the levels do not fall, or the policy does not know them.
    """

    def __init__(self, jump: DiffusionPolicy, levels: Sequence[float]) -> None:
        super().__init__()
        low, high = jump.spec.sigma_range
        falling = all(before > after for before, after in pairwise(levels))
        if not levels or not falling or levels[-1] < low or levels[0] > high:
            raise SpecificationError(
                f"a student needs falling noise levels between {low:g} and {high:g}, "
                f"not {list(levels)}"
            )
        self.jump = jump
        self.levels = tuple(float(level) for level in levels)
        self.spec = jump.spec
        self.normaliser = jump.normaliser
        self.noise_size = jump.spec.action.size
        self.calls = len(self.levels)

    def sample(self, observation: Observation, noise: Tensor) -> Tensor:
        """Turn noise (B, ..., K·A) into normalised flat chunks (B, ..., K·A)."""
        jump = self.jump.denoiser(observation)
        noisy = self.levels[0] * noise
        for call in range(len(self.levels)):
            noisy = self.step(jump, noisy, call)
        return noisy

    def step(self, jump: Denoiser, noisy: Tensor, call: int) -> Tensor:
        """From a_t at the level of a call to the next level, or to zero; (B, ..., K·A).

        Args:
            jump: the denoiser of :attr:`jump` for an observation.
            noisy: a_t, (B, ..., K·A).
            call: its number, from 0.
        """
        level = self.levels[call]
        sigma = torch.full((), level, dtype=noisy.dtype, device=noisy.device)
        centre = jump(noisy, sigma)
        after = self.levels[call + 1] if call + 1 < len(self.levels) else 0.0
        return centre + (after / level) * (noisy - centre)
