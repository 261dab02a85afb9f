"""The benchmark's problems and noise levels, the same for all estimators."""

from __future__ import annotations

from typing import Any

import attrs

from codi_core.samplers import KarrasSchedule
from codi_core.testing import TrajectoryFamily, TrajectoryProblem

SPREAD, TOLERANCE = 0.2, 0.0888
"""With two agents and three places these give E[J]/λ = 136 for the product policy and 0.91 for π:
a mistaken combination of modes costs about 190 λ."""

SHAPES = {32: (2, 8), 64: (4, 8), 256: (8, 16)}
"""Agents and steps of each dimension, with two values an action; agents meet in pairs."""

SCHEDULE = KarrasSchedule(steps=48, sigma_max=10.0, sigma_min=0.05, rho=5.0)
"""So many steps that the exact guidance reaches E[J]/λ of π within a few percent (with
Euler-Maruyama): what is left is the estimator's error, not the sampler's."""

ERROR_LEVELS = (2.0, 1.0, 0.5, 0.2, 0.05)
"""The noise levels at which estimates of g are compared with the exact g."""


def family(dimension: int, seed: int) -> TrajectoryFamily:
    """The family of a dimension; the seed decides the modes' weights and bends."""
    agents, steps = SHAPES[dimension]
    return TrajectoryFamily(
        agents=agents, steps=steps, spread=SPREAD, tolerance=TOLERANCE, seed=seed
    )


def problem(dimension: int, seed: int) -> TrajectoryProblem:
    """The problem of a dimension and a seed."""
    return family(dimension, seed).problem()


def description(dimensions: tuple[int, ...]) -> dict[str, Any]:
    """The parameters of all problems, for ``config.json`` and the results."""
    families = {str(size): attrs.asdict(family(size, 0)) for size in dimensions}
    for parameters in families.values():
        del parameters["seed"]
    return {"families": families, "schedule": attrs.asdict(SCHEDULE)}
