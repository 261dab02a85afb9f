"""The coordinated policy: product policy, guidance and sampler composed (Eq. 7, 11, 12)."""

from codi_core.composition.coordinated_policy import CoordinatedPolicy
from codi_core.composition.evaluation import make_evaluate
from codi_core.composition.particles import BestOf, Resampling

__all__ = ["BestOf", "CoordinatedPolicy", "Resampling", "make_evaluate"]
