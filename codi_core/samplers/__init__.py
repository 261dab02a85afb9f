"""Samplers and noise schedules (Eq. 11)."""

from codi_core.samplers.base import AncestralSampler, EulerMaruyamaSampler, Sampler
from codi_core.samplers.schedules import KarrasSchedule, Schedule
from codi_core.samplers.warm_start import WarmStartSampler

__all__ = [
    "AncestralSampler",
    "EulerMaruyamaSampler",
    "KarrasSchedule",
    "Sampler",
    "Schedule",
    "WarmStartSampler",
]
