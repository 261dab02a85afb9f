"""Posterior approximations: draws of a given a_t (Eq. 16)."""

from codi_core.posteriors.base import PosteriorApproximation, PosteriorQuery, PosteriorSamples
from codi_core.posteriors.gaussian import IsotropicPosterior, MatchedPosterior

__all__ = [
    "IsotropicPosterior",
    "MatchedPosterior",
    "PosteriorApproximation",
    "PosteriorQuery",
    "PosteriorSamples",
]
