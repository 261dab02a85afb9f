"""Receding-horizon execution of plans on a plant."""

from codi_core.execution.receding_horizon import (
    LoopSettings,
    RecedingHorizon,
    Replan,
    Rollout,
)
from codi_core.execution.simulated_plant import SimulatedPlant

__all__ = ["LoopSettings", "RecedingHorizon", "Replan", "Rollout", "SimulatedPlant"]
