"""Makes a task's parts and planners from registered parts, chosen by their names."""

from codi_core.host.assembly.available import available
from codi_core.host.assembly.costs import available_costs, make_cost
from codi_core.host.assembly.open_task import OpenTask, make_task
from codi_core.host.assembly.planners import PlannerChoice, make_planner
from codi_core.host.assembly.policies import checkpoint_files, make_factors
from codi_core.host.assembly.worlds import make_environment, make_predictor, plant_factory

__all__ = [
    "OpenTask",
    "PlannerChoice",
    "available",
    "available_costs",
    "checkpoint_files",
    "make_cost",
    "make_environment",
    "make_factors",
    "make_planner",
    "make_predictor",
    "make_task",
    "plant_factory",
]
