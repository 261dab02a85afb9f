"""Samplers and noise schedules (Eq. 11)."""

from codi_core.samplers.base import Integrator, Sampler, level_column, sample_checked
from codi_core.samplers.base_samples import ANCESTRAL, STEPS, base_samples
from codi_core.samplers.heun import HeunSampler
from codi_core.samplers.schedules import KarrasSchedule, Schedule, falling_levels
from codi_core.samplers.single_call import (
    AncestralSampler,
    CalibratedSampler,
    DpmSolverSampler,
    EulerMaruyamaSampler,
    SingleCallSampler,
    Visit,
)
from codi_core.samplers.warm_start import WarmStartSampler

__all__ = [
    "ANCESTRAL",
    "STEPS",
    "AncestralSampler",
    "CalibratedSampler",
    "DpmSolverSampler",
    "EulerMaruyamaSampler",
    "HeunSampler",
    "Integrator",
    "KarrasSchedule",
    "Sampler",
    "Schedule",
    "SingleCallSampler",
    "Visit",
    "WarmStartSampler",
    "base_samples",
    "falling_levels",
    "level_column",
    "sample_checked",
]
