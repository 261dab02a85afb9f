"""What a cost model regresses: E[J | a_t] as Eq. 47 prints it, or the unbiased log classifier.

Several noise-free chunks of one state, one of which was made noisy, say more about a noisy chunk
than that one does: each of them may have been it, with the weight that Bayes' rule gives. The mean
over these weights has the same conditional expectation as the single sample, and less variance.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_baselines.cost_model.network import CostModel
from codi_core.policies.diffusion import training_levels

CLIP = 3.0
"""Beyond so many λ above its target a prediction is pulled down no harder."""


@attrs.frozen
class CostBatch:
    """n states, each with m noise-free joint chunks from the same distribution.

    Attributes:
        conditioning: what the factors observe, (n, C), physical units.
        chunks: flat joint chunks, normalised, (n, m, D).
        costs: J(s, a) of each, (n, m).
    """

    conditioning: Tensor
    chunks: Tensor
    costs: Tensor


@attrs.frozen
class CostModelLoss:
    """The loss of a cost model, a function of ``(model, batch, generator)``.

    Without a temperature it is Eq. 47: the squared error, whose minimiser is E[J | a_t, s].

    With one it is the error exp(z) - z - 1 of z = (V - v)/λ, where v = -λ log Σ_j w_j exp(-J_j/λ).
    It is least where E[exp((V - v)/λ)] = 1, that is at V = -λ log E[exp(-J/λ) | a_t, s] (Eq. 38):
    no exponential of a cost is ever taken, only of a difference of two. Above :data:`CLIP` the
    error goes on as a straight line. What is rarer than exp(-CLIP) is therefore not resolved; as
    λ vanishes, V becomes the quantile of J | a_t that so few samples fall below.

    Attributes:
        temperature: λ, or None for Eq. 47.
        noise_mean: mean of ln sigma, as in the training of policies.
        noise_std: standard deviation of ln sigma.
    """

    temperature: float | None
    noise_mean: float
    noise_std: float

    def __call__(self, model: CostModel, batch: CostBatch, generator: torch.Generator) -> Tensor:
        """The loss in units of the costs' standard deviation, ()."""
        count, several, _ = batch.chunks.shape
        device = batch.chunks.device
        chosen = torch.randint(several, (count,), generator=generator, device=device)
        sigma = training_levels(
            count, self.noise_mean, self.noise_std, generator, batch.chunks
        ).unsqueeze(-1)
        clean = batch.chunks[torch.arange(count, device=device), chosen]
        noisy = clean + sigma * torch.empty_like(clean).normal_(generator=generator)
        weights = posterior_log_weights(noisy, sigma, batch.chunks)
        found = model(noisy, sigma.squeeze(-1), model.encode(batch.conditioning))
        if self.temperature is None:
            missed: Tensor = (found - (weights.exp() * batch.costs).sum(-1)) / model.spread
            return missed.square().mean()
        value = log_mean_exp(batch.costs, weights, self.temperature)
        excess = clipped_exponential_loss((found - value) / self.temperature)
        return excess.mean() * self.temperature / model.spread


def posterior_log_weights(noisy: Tensor, sigma: Tensor, chunks: Tensor) -> Tensor:
    """log p(the chunk was a_j | a_t) of m equally likely chunks: ∝ N(a_t; a_j, t²I).

    Args:
        noisy: a_t, one of the chunks with noise, (n, D).
        sigma: t, (n, 1).
        chunks: (n, m, D).

    Returns:
        Normalised log-weights, (n, m).
    """
    distance = (noisy.unsqueeze(1) - chunks).square().sum(-1)
    return torch.log_softmax(-0.5 * distance / sigma.square(), -1)


def log_mean_exp(costs: Tensor, log_weights: Tensor, temperature: float) -> Tensor:
    """-λ log Σ_j w_j exp(-J_j/λ), from (n, m) and (n, m) to (n,); it can't underflow."""
    return -temperature * torch.logsumexp(log_weights - costs / temperature, -1)


def clipped_exponential_loss(z: Tensor, clip: float = CLIP) -> Tensor:
    """exp(z) - z - 1, continued above ``clip`` by its tangent."""
    inner = z.clamp_max(clip)
    return inner.exp() * (1 + (z - inner)) - z - 1
