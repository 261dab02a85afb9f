"""How the trainings of baselines sample policies."""

from __future__ import annotations

from codi_core.experiments import RunConfig
from codi_core.samplers import DpmSolverSampler, KarrasSchedule, Sampler

EQUAL_RATIOS = 1e3
"""A ``rho`` so large that a Karras schedule's levels are in equal ratios: then the samples of a
unit Gaussian have its standard deviation up to 3 % in 6 to 10 calls."""


def few_calls(config: RunConfig, steps: int) -> Sampler:
    """Over the noise levels of the plans, in few calls that keep the samples' spread.

    Ancestral steps lose much of it, and a policy that learns from its own samples would lose it
    again and again.

    Args:
        config: a resolved configuration.
        steps: denoising steps, one call each.
    """
    levels = (float(config.sigma_max or 0), float(config.sigma_min or 0))  # resolved: no None
    return DpmSolverSampler(KarrasSchedule(steps, *levels, EQUAL_RATIOS))
