"""Soft diffusion actor-critic, Eq. 53-55 (Ma et al., 2025)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_baselines.finetuning.base import Examples, FineTuning, Lessons
from codi_core.guidance import sample_weights
from codi_core.planning import Evaluate
from codi_core.policies import DiffusionPolicy
from codi_core.policies.diffusion import precondition, training_levels

NOISY, SIGMA, STEP = "noisy", "sigma", "step"
"""a_t, t, and (E[a | a_t] - a_t)/t, the mean of the reverse noise."""


@attrs.frozen
class ActionRange:
    """The normalised chunks that demonstrations hold, column by column.

    Attributes:
        low: the least value of each column, (D,).
        high: the greatest, (D,).
    """

    low: Tensor
    high: Tensor

    def clip(self, chunks: Tensor) -> Tensor:
        """The nearest chunks (..., D) inside."""
        return torch.minimum(torch.maximum(chunks, self.low), self.high)


@attrs.frozen(eq=False)
class SoftActorCritic(FineTuning):
    """Learns π ∝ exp(-J/λ), the soft-optimal policy (Eq. 54), wherever the base came from.

    At a_t = a + t ε, with a from the current policy, K reverse samples ã = a_t + t ε̃ are weighted
    by exp(-J(ã)/λ). What is regressed is ‖t² s - t ε̃‖² = ‖D - ã‖²: Eq. 55 prints the other sign,
    with which the score would point away from cheap actions. The weights are normalised over the K
    samples, in the log domain, so that the target is their weighted mean.

    Attributes:
        temperature: λ.
        reverse_samples: K.
        noise_mean: mean of ln t.
        noise_std: standard deviation of ln t.
        within: reverse samples are clipped to this range; None lets them go anywhere.
        memory: nothing.
    """

    temperature: float
    reverse_samples: int
    noise_mean: float
    noise_std: float
    within: ActionRange | None = None
    memory: dict[str, float] = attrs.field(factory=dict)

    def lessons(self, samples: Tensor, evaluate: Evaluate, generator: torch.Generator) -> Lessons:
        """One noise level for each sample (S, M, D), and where the cheap reverse samples are."""
        states, count, _ = samples.shape
        sigma = training_levels(
            states * count, self.noise_mean, self.noise_std, generator, samples
        ).view(states, count)
        noise = torch.empty_like(samples).normal_(generator=generator)
        noisy = samples + sigma.unsqueeze(-1) * noise
        step, usable = self.reverse_step(noisy, sigma, evaluate, generator)
        return Lessons(usable.float(), {NOISY: noisy, SIGMA: sigma, STEP: step})

    def reverse_step(
        self, noisy: Tensor, sigma: Tensor, evaluate: Evaluate, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The weighted mean of the reverse noise, an estimate of (E_π[a | a_t] - a_t)/t.

        Args:
            noisy: a_t, (S, M, D).
            sigma: t, (S, M).
            evaluate: J of flat chunks, (S, m, D) -> (S, m).
            generator: of the reverse noise.

        Returns:
            The step (S, M, D), and where any reverse sample has a finite cost (S, M).
        """
        (states, count, size), total = noisy.shape, self.reverse_samples
        level = sigma.view(states, count, 1, 1)
        noise = noisy.new_empty(states, count, total, size).normal_(generator=generator)
        reverse = noisy.unsqueeze(2) + level * noise
        if self.within is not None:
            reverse = self.within.clip(reverse)
            noise = (reverse - noisy.unsqueeze(2)) / level
        cost = evaluate(reverse.flatten(1, 2))
        weights = sample_weights(cost.view(states * count, total), self.temperature)
        shares = weights.tilted.view(states, count, total).to(noise)
        step = torch.einsum("smk,smkd->smd", shares, noise)
        return step, weights.usable.view(states, count)

    def loss(self, policy: DiffusionPolicy, batch: Examples, generator: torch.Generator) -> Tensor:
        """Eq. 55 with the right sign, ().

        With the weight (t² + σ_d²)/(t σ_d)² of Karras et al., it is the error of F against
        (D* - c_skip a_t)/c_out, which is computed without rounding errors that grow with 1/t.
        """
        noisy, sigma, step = (batch.values[name] for name in (NOISY, SIGMA, STEP))
        factors, spread = precondition(sigma, policy.sigma_data), policy.sigma_data
        scale = factors.scale_in.unsqueeze(-1)
        action = policy.spec.action
        rows = torch.unflatten(noisy * scale, -1, (action.horizon, action.dimension))
        embedding = policy.network.encode(policy.condition(batch.observation))
        raw: Tensor = policy.network(rows, factors.noise, embedding).flatten(1)
        target = step / (spread * scale) + sigma.unsqueeze(-1) * scale * noisy / spread
        return (raw - target).square().mean()
