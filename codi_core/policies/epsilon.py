"""Discrete-time noise-predicting models, as most published policies are, as base policies."""

from __future__ import annotations

from typing import Any, Protocol

import attrs
import torch
from torch import Tensor, nn

from codi_core.errors import SpecificationError
from codi_core.planning import Denoiser, Observation
from codi_core.policies.base import BasePolicy, PolicySpec, as_rows
from codi_core.policies.normalisation import Normaliser


class EpsilonModel(Protocol):
    """ε(x_k, k, s): predicts the noise in x_k = √ᾱ_k a + √(1-ᾱ_k) ε."""

    def encode(self, observation: Observation) -> Tensor:
        """Encode named tensors (B, H, ...) in physical units into (B, E), once per plan."""

    def __call__(self, noisy: Tensor, step: Tensor, embedding: Tensor) -> Tensor:
        """The noise in ``noisy`` (R, K, A), normalised, at steps (R,), for embeddings (R, E)."""


class EpsilonPolicy(nn.Module, BasePolicy):
    """Presents a discrete-time model at continuous noise levels.

    Dividing x_k by √ᾱ_k gives a + sigma ε with sigma = √((1-ᾱ_k)/ᾱ_k), which is q_t of Eq. 1 at
    t = sigma. So x = a_t/√(1 + sigma²), and Tweedie's mean is D = a_t - sigma ε. Between two
    discrete levels the step is interpolated linearly in ln sigma.

    Args:
        spec: what the model reads and writes. The policy's own ``spec`` has the model's range
            of noise levels.
        normaliser: between physical actions (A,) and the space in which the model adds noise.
        model: the noise predictor.
        alphas_cumprod: ᾱ_k of each step, (steps,), falling, inside (0, 1).
        fractional: whether the model accepts steps between whole numbers; if not, the nearest
            whole step is asked for.

    Raises:
        SpecificationError: ``alphas_cumprod`` does not fall strictly inside (0, 1).
    """

    log_levels: Tensor

    def __init__(
        self,
        spec: PolicySpec,
        normaliser: Normaliser,
        model: EpsilonModel,
        alphas_cumprod: Tensor,
        *,
        fractional: bool = True,
    ) -> None:
        super().__init__()
        kept = torch.as_tensor(alphas_cumprod).double()
        inside = bool(((kept > 0) & (kept < 1)).all())
        if kept.ndim != 1 or len(kept) < 2 or not inside or not bool((kept.diff() < 0).all()):
            raise SpecificationError(
                "alphas_cumprod must be at least two values that fall strictly inside (0, 1)"
            )
        levels = torch.sqrt((1 - kept) / kept)
        sigma_range: Any = (float(levels[0]), float(levels[-1]))
        self.spec = attrs.evolve(spec, sigma_range=sigma_range)
        self.normaliser = normaliser
        self.model = model
        self.fractional = fractional
        self.register_buffer("log_levels", levels.log())

    def step(self, sigma: Tensor) -> Tensor:
        """The step, counted from 0, of each noise level; sigma of any shape, float32."""
        wanted = sigma.double().log().clamp(self.log_levels[0], self.log_levels[-1])
        above = torch.searchsorted(self.log_levels, wanted).clamp(1, len(self.log_levels) - 1)
        low, high = self.log_levels[above - 1], self.log_levels[above]
        step = (above - 1) + (wanted - low) / (high - low)
        return (step if self.fractional else step.round()).float()

    def denoiser(self, observation: Observation) -> Denoiser:
        """Encode the observation once and return the denoiser for it (see the base class)."""
        embedding = self.model.encode(observation)
        shape = (self.spec.action.horizon, self.spec.action.dimension)

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            rows, levels, spread = as_rows(noisy, sigma, embedding)
            column = levels.unsqueeze(-1)
            scaled = rows / torch.sqrt(1 + column**2)
            steps = self.step(levels).expand(len(rows))
            noise = self.model(scaled.view(-1, *shape), steps, spread).flatten(1)
            return (rows - column * noise).view(noisy.shape)

        return denoise
