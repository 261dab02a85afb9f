"""Guidance by the gradient of a differentiable cost (the paper's footnote 3)."""

from __future__ import annotations

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.errors import CostError
from codi_core.guidance.base import Guidance
from codi_core.guidance.monte_carlo import record_weights
from codi_core.guidance.temperature import least_temperature
from codi_core.guidance.weights import sample_weights
from codi_core.planning import Denoiser, Evaluate, PlanContext
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.posteriors import PosteriorApproximation, PosteriorQuery, draw_checked


@attrs.frozen
class ReparameterizedGuidance(Guidance):
    """g^J ≈ ∇_{a_t} log 1/M Σ_m exp(-J(a_m)/λ), with a_m a function of a_t and of fixed noise.

    The posterior's samples move with a_t, at least by their mean E[a | a_t], and the gradient of
    the cost flows through them: the estimate of lower variance that footnote 3 of the paper
    mentions. Predictor and cost must be differentiable.

    Attributes:
        posterior: draws noise-free samples given a_t (Eq. 16), as a differentiable function.
        samples: M, how many are drawn at each denoising step.
        temperature: λ of Eq. 6.
        ess: see :func:`least_temperature`; 0 keeps λ as it is.
    """

    posterior: PosteriorApproximation
    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    temperature: float = attrs.field(default=TEMPERATURE, validator=validators.gt(0))
    ess: float = attrs.field(default=0.0, validator=[validators.ge(0), validators.lt(1)])

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser whose score is s + g^J (Eq. 12)."""

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            with torch.enable_grad():
                point = noisy.detach().requires_grad_()
                with context.diagnostics.stage("denoise"):
                    denoised = denoiser(point, sigma)
                with context.diagnostics.stage("draw"):
                    query = PosteriorQuery(point, sigma, denoised, denoiser, context)
                    drawn = draw_checked(self.posterior, query, self.samples)
                cost = evaluate(drawn.samples)
                score = self._score(cost, drawn.log_weights, point, context)
            shift = sigma.reshape(-1, 1).square() * score
            usable = torch.isfinite(shift).all(-1, keepdim=True)
            context.diagnostics.count("lost_gradients", (~usable).sum())
            return denoised.detach() + torch.where(usable, shift, 0.0)

        return guided

    def _score(
        self, cost: Tensor, log_weights: Tensor | None, point: Tensor, context: PlanContext
    ) -> Tensor:
        """g^J, (B, D); it may overflow."""
        if not cost.requires_grad:
            raise CostError(
                "the cost has no gradient with respect to the actions: predictor and cost must "
                "be differentiable for this guidance; monte-carlo takes any"
            )
        values = cost.detach()
        temperature = least_temperature(values, self.temperature, self.ess, log_weights)
        weights = sample_weights(values, temperature, log_weights)
        record_weights(context.diagnostics, values, weights)
        # ∇ log Σ exp(-J/λ) = -Σ w ∇J/λ; samples without weight must not bring in 0 · inf.
        slope = (weights.tilted / temperature).to(cost.dtype)
        terms = torch.where(slope > 0, slope * cost, 0.0)
        (gradient,) = torch.autograd.grad(-terms.sum(), point)
        return gradient
