"""Cost functions J(s, a)."""

from codi_core.costs.base import CostFunction
from codi_core.costs.local import LocalCost, local_terms, require_locality
from codi_core.costs.terms import CostTerms
from codi_core.costs.weighted import CostTerm, WeightedCost

__all__ = [
    "CostFunction",
    "CostTerm",
    "CostTerms",
    "LocalCost",
    "WeightedCost",
    "local_terms",
    "require_locality",
]
