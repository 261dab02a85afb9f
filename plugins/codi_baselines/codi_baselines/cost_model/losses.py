"""What a cost model regresses: E[J | a_t] as Eq. 47 prints it, or the unbiased log classifier.

Several noise-free chunks of one state, one of which was made noisy, say more about a noisy chunk
than that one does: each of them may have been it, with the weight that Bayes' rule gives. The mean
over these weights has the same conditional expectation as the single sample, and less variance.

What all chunks of a state cost guides none of them, and it varies much more from state to state
than what one chunk costs more than another one. With several chunks a state, a state's mean is
therefore taken out, which leaves the gradient of what is regressed as it is, and errors are
measured in the state's own spread: else states where a mistake costs much drown those where arms
have to be told apart by little. Both are taken over the *other* chunks, so that they don't depend
on the one that was made noisy.
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
        resolution: differences between the chunks of a state that are far below that are not to be
            learnt, in units of the costs.
    """

    temperature: float | None
    noise_mean: float
    noise_std: float
    resolution: float = 0.1

    def __call__(self, model: CostModel, batch: CostBatch, generator: torch.Generator) -> Tensor:
        """The loss, a mean of errors in units of the states' spreads, ()."""
        count, several, _ = batch.chunks.shape
        device = batch.chunks.device
        chosen = torch.randint(several, (count,), generator=generator, device=device)
        sigma = training_levels(
            count, self.noise_mean, self.noise_std, generator, batch.chunks
        ).unsqueeze(-1)
        clean = batch.chunks[torch.arange(count, device=device), chosen]
        noisy = clean + sigma * torch.empty_like(clean).normal_(generator=generator)
        weights = posterior_log_weights(noisy, sigma, batch.chunks)
        base, scale = self._others(batch.costs, chosen, model.spread)
        found = model(noisy, sigma.squeeze(-1), model.encode(batch.conditioning))
        if self.temperature is None:
            value = (weights.exp() * batch.costs).sum(-1) - base
            missed: Tensor = (found - value) / scale
            return missed.square().mean()
        value = log_mean_exp(batch.costs, weights, self.temperature) - base
        excess = clipped_exponential_loss((found - value) / self.temperature)
        # Errors far below λ count by their squares, as above, and those beyond it by their size.
        ratio = self.temperature / scale
        return (excess * ratio * ratio.clamp_min(1.0)).mean()

    def _others(self, costs: Tensor, chosen: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """What is taken out of each state's costs (n, m), and what errors are measured in, (n,).

        Args:
            costs: (n, m).
            chosen: which chunk of each state was made noisy, (n,).
            spread: of all costs, for states with one chunk each.
        """
        several = costs.shape[-1]
        if several == 1:
            return costs.new_zeros(()), spread
        others = torch.arange(several, device=costs.device) != chosen.unsqueeze(-1)
        share = others.to(costs) / (several - 1)
        mean = (share * costs).sum(-1)
        variance = (share * (costs - mean.unsqueeze(-1)).square()).sum(-1)
        return mean, (variance + self.resolution**2).sqrt()


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
