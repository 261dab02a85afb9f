"""Guidance from samples of the base policies that are rolled out once per plan."""

from __future__ import annotations

import attrs
from attrs import validators
from torch import Tensor

from codi_core.guidance.base import Guidance
from codi_core.guidance.monte_carlo import record_weights, shift
from codi_core.guidance.temperature import least_temperature
from codi_core.guidance.weights import sample_weights
from codi_core.planning import Denoiser, Evaluate, PlanContext
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.samplers import ANCESTRAL, STEPS, Integrator, base_samples


@attrs.frozen
class LibraryGuidance(Guidance):
    """g^J (Eq. 14) by importance sampling from the base policies instead of the posterior.

    Since p(a | a_t) ∝ p(a) q_t(a_t | a), samples a_i ~ p with the weights
    exp(-‖a_t - a_i‖²/2t²) stand for the posterior at every noise level. So M base samples are
    drawn and rolled out once, when the plan begins, and all steps share their costs: M rollouts a
    plan. At a low noise level hardly a sample is near a_t, and the estimate is poor.

    Attributes:
        samples: M, how many base samples are drawn for a plan.
        temperature: λ of Eq. 6.
        steps: the denoising steps that a base sample takes.
        ess: see :func:`least_temperature`; 0 keeps λ as it is.
        sampler: takes the steps of the base samples.
        start: the noise level at which base samples start; None for the plan's highest.
    """

    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    temperature: float = attrs.field(default=TEMPERATURE, validator=validators.gt(0))
    steps: int = attrs.field(default=STEPS, validator=validators.ge(1))
    ess: float = attrs.field(default=0.0, validator=[validators.ge(0), validators.lt(1)])
    sampler: Integrator = ANCESTRAL
    start: float | None = None

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """Draw and roll out the library, and return the denoiser that it guides."""
        # Before the sampler draws anything: a world's noise must not depend on when, in a batch,
        # the first step needs the library.
        with context.diagnostics.stage("draw"):
            samples = base_samples(
                denoiser, self.samples, self.steps, context, self.sampler, self.start
            )
        cost = evaluate(samples)

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            with context.diagnostics.stage("denoise"):
                denoised = denoiser(noisy, sigma)
            nearness = log_nearness(samples, noisy, sigma)
            temperature = least_temperature(cost, self.temperature, self.ess, nearness)
            weights = sample_weights(cost, temperature, nearness)
            record_weights(context.diagnostics, cost, weights)
            return denoised + shift(samples, weights)

        return guided


def log_nearness(samples: Tensor, noisy: Tensor, sigma: Tensor) -> Tensor:
    """log q_t(a_t | a_i) = -‖a_t - a_i‖²/2t² up to a constant, (B, M) in float64."""
    distance = (samples - noisy.unsqueeze(1)).double().square().sum(-1)
    return -0.5 * distance / sigma.double().reshape(-1, 1).square()
