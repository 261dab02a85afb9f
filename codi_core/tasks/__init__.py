"""Tasks: environments, plants, simulators, metrics, pictures."""

from codi_core.tasks.actions import finite_actions
from codi_core.tasks.clock import Clock, VirtualClock, WallClock
from codi_core.tasks.demonstrator import Demonstrator
from codi_core.tasks.environment import Environment, EpisodeKey, Step, check_rows
from codi_core.tasks.metrics import EpisodeRecord, Metrics
from codi_core.tasks.plant import Plant
from codi_core.tasks.policies import FactorLayout, PolicyOffer
from codi_core.tasks.renderer import Renderer, Trace
from codi_core.tasks.restoring import recorded_feature
from codi_core.tasks.simulator import Simulator, Snapshot
from codi_core.tasks.task import Finish, PlanSettings, Task, TaskParts

__all__ = [
    "Clock",
    "Demonstrator",
    "Environment",
    "EpisodeKey",
    "EpisodeRecord",
    "FactorLayout",
    "Finish",
    "Metrics",
    "PlanSettings",
    "Plant",
    "PolicyOffer",
    "Renderer",
    "Simulator",
    "Snapshot",
    "Step",
    "Task",
    "TaskParts",
    "Trace",
    "VirtualClock",
    "WallClock",
    "check_rows",
    "finite_actions",
    "recorded_feature",
]
