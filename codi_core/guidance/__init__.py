"""Guidance terms: denoiser in, guided denoiser out (Eq. 12-19)."""

from codi_core.guidance.base import Chain, Guidance, NoGuidance
from codi_core.guidance.monte_carlo import MonteCarloGuidance
from codi_core.guidance.weights import SampleWeights, sample_weights

__all__ = [
    "Chain",
    "Guidance",
    "MonteCarloGuidance",
    "NoGuidance",
    "SampleWeights",
    "sample_weights",
]
