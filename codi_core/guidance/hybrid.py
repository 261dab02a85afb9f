"""One guidance far from the data, another one near to it."""

from __future__ import annotations

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.guidance.base import Guidance, guide_checked
from codi_core.guidance.library import LibraryGuidance
from codi_core.guidance.monte_carlo import MonteCarloGuidance
from codi_core.planning import Denoiser, Evaluate, PlanContext
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.posteriors import PosteriorApproximation
from codi_core.samplers import ANCESTRAL, STEPS, Integrator

SWITCH = 0.5
"""The noise level at which a library hands over: below it hardly a base sample is near a_t."""


@attrs.frozen
class HybridGuidance(Guidance):
    """Guides with ``far`` while t > switch, and with ``near`` from there on.

    Made for a library that chooses the modes, and a local estimator that fits the details. If
    worlds of one batch stand on both sides of the switch, both run.

    Attributes:
        far: guides at noise levels above the switch.
        near: guides at the others. It must keep nothing from step to step.
        switch: the noise level t of the change.
    """

    far: Guidance
    near: Guidance
    switch: float = attrs.field(default=SWITCH, validator=validators.gt(0))

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser that the guidance of the noise level's side guides."""
        far = guide_checked(self.far, denoiser, evaluate, context)
        near = guide_checked(self.near, denoiser, evaluate, context)

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            above = sigma > self.switch
            if bool(above.all()):
                return far(noisy, sigma)
            if not bool(above.any()):
                return near(noisy, sigma)
            with context.noise.only(~above):
                close = near(noisy, sigma)
            with context.noise.only(above):
                distant = far(noisy, sigma)
            return torch.where(above.unsqueeze(-1), distant, close)

        return guided


def coarse_to_fine(
    posterior: PosteriorApproximation,
    samples: int = SAMPLES,
    temperature: float = TEMPERATURE,
    switch: float = SWITCH,
    steps: int = STEPS,
    ess: float = 0.0,
    library: int | None = None,
    sampler: Integrator = ANCESTRAL,
    start: float | None = None,
) -> HybridGuidance:
    """A library of base samples above the noise level ``switch``, the paper's estimate below it.

    Args:
        posterior: of :class:`MonteCarloGuidance`.
        samples: M of both.
        temperature: λ of both.
        switch: the noise level t of the change.
        steps: the denoising steps that a base sample takes.
        ess: see :func:`~codi_core.guidance.least_temperature`, for both.
        library: M of the library alone, if it differs.
        sampler: takes the steps of the base samples.
        start: the noise level at which base samples start; None for the plan's highest.
    """
    many = samples if library is None else library
    far = LibraryGuidance(many, temperature, steps, ess, sampler, start)
    return HybridGuidance(far, MonteCarloGuidance(posterior, samples, temperature, ess), switch)
