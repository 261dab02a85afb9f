"""Cost functions J(s, a)."""

from codi_core.costs.base import CostFunction
from codi_core.costs.weighted import CostTerm, WeightedCost

__all__ = ["CostFunction", "CostTerm", "WeightedCost"]
