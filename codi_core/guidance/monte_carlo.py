"""The paper's gradient-free estimate of the guidance score, Eq. 14-19."""

from __future__ import annotations

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.guidance.base import Guidance
from codi_core.guidance.temperature import least_temperature
from codi_core.guidance.weights import SampleWeights, finite_mean, sample_weights
from codi_core.planning import Denoiser, Diagnostics, Evaluate, PlanContext
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.posteriors import PosteriorApproximation, PosteriorQuery, draw_checked


@attrs.frozen
class MonteCarloGuidance(Guidance):
    """g^J ≈ 1/M Σ_m w_m ∇ log q_t(a_t | a_m), with a_m from the posterior (Eq. 17).

    With q_t = N(a, t²I) the gradient is (a_m - a_t)/t², and the weights of Eq. 18 sum to zero.
    So t² g^J is the cost-weighted mean of the samples minus their plain mean, and no division
    by t² is left.

    Attributes:
        posterior: draws noise-free samples given a_t (Eq. 16).
        samples: M, how many are drawn at each denoising step.
        temperature: λ of Eq. 6.
        ess: the least effective sample size, as a share of M: where the weights of Eq. 19
            leave less, λ is raised for that world and step. 0 keeps λ as it is.
    """

    posterior: PosteriorApproximation
    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    temperature: float = attrs.field(default=TEMPERATURE, validator=validators.gt(0))
    ess: float = attrs.field(default=0.0, validator=[validators.ge(0), validators.lt(1)])

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser whose score is s + g^J (Eq. 12)."""

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            with context.diagnostics.stage("denoise"):
                denoised = denoiser(noisy, sigma)
            with context.diagnostics.stage("draw"):
                query = PosteriorQuery(noisy, sigma, denoised, denoiser, context)
                drawn = draw_checked(self.posterior, query, self.samples)
            cost = evaluate(drawn.samples)
            temperature = least_temperature(cost, self.temperature, self.ess, drawn.log_weights)
            weights = sample_weights(cost, temperature, drawn.log_weights)
            record_weights(context.diagnostics, cost, weights)
            return denoised + shift(drawn.samples, weights)

        return guided


def shift(samples: Tensor, weights: SampleWeights) -> Tensor:
    """t² g^J of Eq. 17: Σ_m (tilted - plain)_m a_m, from (B, M, D) to (B, D)."""
    difference = weights.difference().to(samples.dtype)
    return torch.bmm(difference.unsqueeze(1), samples).squeeze(1)


def record_weights(diagnostics: Diagnostics, cost: Tensor, weights: SampleWeights) -> None:
    """Note what the cost did to the samples of one denoising step."""
    diagnostics.record("effective_sample_size", weights.effective_sample_size())
    diagnostics.record("sample_cost", finite_mean(cost))
    diagnostics.count("unguided_steps", (~weights.usable).sum())
