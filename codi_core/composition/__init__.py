"""The coordinated policy: product policy, guidance and sampler composed (Eq. 7, 11, 12)."""

from codi_core.composition.coordinated_policy import CoordinatedPolicy
from codi_core.composition.particles import BestOf, Resampling
from codi_core.composition.plan_cost import make_evaluate
from codi_core.composition.search import Search

__all__ = ["BestOf", "CoordinatedPolicy", "Resampling", "Search", "make_evaluate"]
