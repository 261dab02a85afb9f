"""Guidance terms: denoiser in, guided denoiser out (Eq. 12-19)."""

from codi_core.guidance.base import Chain, Guidance, NoGuidance, guide_checked
from codi_core.guidance.factored import FactoredGuidance
from codi_core.guidance.hybrid import HybridGuidance, coarse_to_fine
from codi_core.guidance.library import LibraryGuidance
from codi_core.guidance.monte_carlo import MonteCarloGuidance
from codi_core.guidance.reparameterized import ReparameterizedGuidance
from codi_core.guidance.temperature import least_temperature
from codi_core.guidance.weights import SampleWeights, sample_weights

__all__ = [
    "Chain",
    "FactoredGuidance",
    "Guidance",
    "HybridGuidance",
    "LibraryGuidance",
    "MonteCarloGuidance",
    "NoGuidance",
    "ReparameterizedGuidance",
    "SampleWeights",
    "coarse_to_fine",
    "guide_checked",
    "least_temperature",
    "sample_weights",
]
