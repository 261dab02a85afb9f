"""One plan: its noise, its context, its diagnostics, and who makes it."""

from codi_core.planning.context import (
    Denoiser,
    Evaluate,
    LocalEvaluate,
    Observation,
    Plan,
    PlanContext,
    prepare,
)
from codi_core.planning.deadline import Descent, Pace
from codi_core.planning.diagnostics import Diagnostics
from codi_core.planning.layout import ChunkLayout
from codi_core.planning.noise import NoiseSource, StreamKey, stream
from codi_core.planning.planner import Planner

__all__ = [
    "ChunkLayout",
    "Denoiser",
    "Descent",
    "Diagnostics",
    "Evaluate",
    "LocalEvaluate",
    "NoiseSource",
    "Observation",
    "Pace",
    "Plan",
    "PlanContext",
    "Planner",
    "StreamKey",
    "prepare",
    "stream",
]
