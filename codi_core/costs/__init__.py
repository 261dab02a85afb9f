"""Cost functions J(s, a)."""

from codi_core.costs.base import CostFunction
from codi_core.costs.local import LocalCost, has_locality, local_terms, require_locality, summands
from codi_core.costs.terms import CostTerms
from codi_core.costs.weighted import CostTerm, WeightedCost

__all__ = [
    "CostFunction",
    "CostTerm",
    "CostTerms",
    "LocalCost",
    "WeightedCost",
    "has_locality",
    "local_terms",
    "require_locality",
    "summands",
]
