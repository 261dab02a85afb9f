"""The costs of navigation. Each is a sum of terms that involve one robot or two, and says so."""

from codi_navigation.costs.detour import DetourCost
from codi_navigation.costs.goal import GoalCost
from codi_navigation.costs.imminent import ImminentCost
from codi_navigation.costs.junction import JunctionCost
from codi_navigation.costs.keep_right import KeepRightCost
from codi_navigation.costs.obstacles import ObstacleCost
from codi_navigation.costs.roundabout import RoundaboutCost
from codi_navigation.costs.separation import SeparationCost

__all__ = [
    "DetourCost",
    "GoalCost",
    "ImminentCost",
    "JunctionCost",
    "KeepRightCost",
    "ObstacleCost",
    "RoundaboutCost",
    "SeparationCost",
]
