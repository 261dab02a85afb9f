"""Receding-horizon execution of plans on a plant."""

from codi_core.execution.plan_check import check_plan
from codi_core.execution.plan_maker import PlanMaker
from codi_core.execution.plan_process import ProcessWorker
from codi_core.execution.plan_worker import InlineWorker, PlanWorker, ThreadWorker
from codi_core.execution.receding_horizon import RecedingHorizon
from codi_core.execution.rollout import ControlStep, Observer, Replan, Rollout
from codi_core.execution.settings import LoopSettings
from codi_core.execution.simulated_plant import SimulatedPlant

__all__ = [
    "ControlStep",
    "InlineWorker",
    "LoopSettings",
    "Observer",
    "PlanMaker",
    "PlanWorker",
    "ProcessWorker",
    "RecedingHorizon",
    "Replan",
    "Rollout",
    "SimulatedPlant",
    "ThreadWorker",
    "check_plan",
]
