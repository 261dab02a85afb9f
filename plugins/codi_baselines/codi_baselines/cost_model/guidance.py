"""Guidance by the gradient of a trained cost model, Eq. 48-49."""

from __future__ import annotations

import math

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_baselines.cost_model.network import CostModel, conditioning
from codi_core.guidance import Guidance
from codi_core.planning import Denoiser, Evaluate, PlanContext
from codi_core.policies import ProductPolicy
from codi_core.policies.base import as_rows


@attrs.frozen(eq=False)
class CostModelGuidance(Guidance):
    """g = -∇_{a_t} J_φ(s, a_t; t)/λ, times a scale; nothing is rolled out.

    A model of E[J | a_t] makes this the paper's baseline; one of -λ log E[exp(-J/λ) | a_t] makes it
    exact for the λ that the model was trained with.

    Attributes:
        model: the cost model.
        product: the base policies, whose observations the model reads.
        temperature: λ of Eq. 49.
        scale: what the gradient is multiplied with; 1 is Eq. 49.
        lowest: the lowest noise level that is guided.
        highest: the highest one.
    """

    model: CostModel
    product: ProductPolicy
    temperature: float = attrs.field(validator=validators.gt(0))
    scale: float = attrs.field(default=1.0, validator=validators.ge(0))
    lowest: float = attrs.field(default=0.0, validator=validators.ge(0))
    highest: float = attrs.field(default=math.inf, validator=validators.gt(0))

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser whose score is s + g (Eq. 12)."""
        with context.diagnostics.stage("encode"):
            seen = conditioning(self.product, context.observation, context.worlds)
            embedding = self.model.encode(seen).detach()

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            with context.diagnostics.stage("denoise"):
                denoised = denoiser(noisy, sigma)
            acts = (sigma >= self.lowest) & (sigma <= self.highest)
            if not bool(acts.any()):
                return denoised
            with context.diagnostics.stage("gradient"):
                gradient = self._gradient(noisy, sigma, embedding)
            step = torch.where(acts, sigma.square() * (self.scale / self.temperature), 0.0)
            shift = step.reshape(-1, *[1] * (noisy.ndim - 1)) * gradient
            usable = torch.isfinite(shift).all(-1, keepdim=True)
            context.diagnostics.count("lost_gradients", (~usable).sum())
            return denoised - torch.where(usable, shift, 0.0)

        return guided

    def _gradient(self, noisy: Tensor, sigma: Tensor, embedding: Tensor) -> Tensor:
        """∇ J_φ, of the shape of ``noisy``, (B, ..., D)."""
        with torch.enable_grad():
            point = noisy.detach().requires_grad_()
            rows, levels, spread = as_rows(point, sigma, embedding)
            total = self.model(rows, levels, spread).sum()
            (gradient,) = torch.autograd.grad(total, point)
        return gradient
