"""Posterior approximations: draws of a given a_t (Eq. 16)."""

from codi_core.posteriors.base import (
    PosteriorApproximation,
    PosteriorQuery,
    PosteriorSamples,
    draw_checked,
)
from codi_core.posteriors.correlated import CorrelatedPosterior
from codi_core.posteriors.covariance import DataCovariancePosterior, JacobianPosterior
from codi_core.posteriors.denoised import DenoisedPosterior
from codi_core.posteriors.gaussian import IsotropicPosterior, MatchedPosterior

__all__ = [
    "CorrelatedPosterior",
    "DataCovariancePosterior",
    "DenoisedPosterior",
    "IsotropicPosterior",
    "JacobianPosterior",
    "MatchedPosterior",
    "PosteriorApproximation",
    "PosteriorQuery",
    "PosteriorSamples",
    "draw_checked",
]
