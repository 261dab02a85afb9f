"""The cells of the benchmark: one estimator with one M on one problem, and what they measure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_baselines.closed_form import measures
from codi_baselines.closed_form.estimators import Estimator
from codi_baselines.closed_form.problems import ERROR_LEVELS, SCHEDULE, problem
from codi_core.errors import PlanError
from codi_core.execution import check_plan
from codi_core.execution.plan_check import NOT_FINITE
from codi_core.host.plugins import Host
from codi_core.planning import PlanContext, Planner
from codi_core.samplers import KarrasSchedule
from codi_core.testing import TrajectoryProblem

MOST_PLANS = 400
"""Plans of one cell."""

MOST_POINTS, LEAST_POINTS = 24, 4
"""Points at which one cell's error of g is measured, at each noise level."""

CHUNK = 4_000_000
"""Sampled values that are in memory at once."""


@attrs.frozen
class Effort:
    """How much is measured.

    Attributes:
        budget: sampled values a cell, which decide its number of plans.
        least: the least number of plans a cell, for a weight of 1.
        schedule: the noise levels.
    """

    budget: int = 6_000_000
    least: int = 5
    schedule: KarrasSchedule = SCHEDULE


@attrs.frozen
class Cell:
    """One measurement.

    Attributes:
        dimension: D.
        seed: of the problem and of all noise.
        estimator: what is measured.
        samples: M.
    """

    dimension: int
    seed: int
    estimator: Estimator
    samples: int

    @property
    def key(self) -> tuple[int, int, str, int]:
        """What tells the cell from all others."""
        return self.dimension, self.seed, self.estimator.label, self.samples

    @property
    def title(self) -> str:
        """The cell in words."""
        return f"{self.estimator.label}, M {self.samples}, D {self.dimension}, seed {self.seed}"

    def plans(self, effort: Effort) -> int:
        """How many plans are made: fewer where they take longer, by rule and not by the clock."""
        weight = self.estimator.weight
        count = weight * effort.budget / self._plan_work(effort)
        return _within(count, round(weight * effort.least), MOST_PLANS)

    def points(self, effort: Effort) -> int:
        """At how many points a noise level the error of g is measured."""
        work = self._plan_work(effort) / effort.schedule.steps * len(ERROR_LEVELS)
        return _within(effort.budget / 8 / work, LEAST_POINTS, MOST_POINTS)

    def work(self, effort: Effort) -> float:
        """About how long the cell takes, in sampled values."""
        return self.plans(effort) * self._plan_work(effort) * 1.1

    def _plan_work(self, effort: Effort) -> float:
        step = self.estimator.effort * self.samples + self.estimator.overhead
        return step * self.dimension * effort.schedule.steps


def _within(count: float, least: int, most: int) -> int:
    return int(min(max(count, least), most))


def make_cells(
    dimensions: Sequence[int], seeds: int, estimators: Sequence[Estimator]
) -> Iterator[Cell]:
    """All cells, seed by seed: an interrupted benchmark has measured every estimator."""
    for seed in range(seeds):
        for dimension in dimensions:
            for estimator in estimators:
                for samples in estimator.samples_at(dimension):
                    yield Cell(dimension, seed, estimator, samples)


def measure(cell: Cell, host: Host, effort: Effort) -> dict[str, Any]:
    """Measure one cell.

    Returns:
        the record: cell, ``plans``; a plan's ``evaluations`` and ``seconds``; the mean ``cost``
        E[J]/λ, its ``cost_variance`` and ``cost_median``; ``energy_distance`` of the final
        positions, ``mode_distance`` and its ``mode_floor``, ``wrong_modes``; ``errors`` of g by
        noise level, empty for what has no estimate of g. Where a plan is not finite, the cell and
        ``failed`` alone: why.
    """
    solved, exact = _solved(cell.dimension, cell.seed)
    planner = cell.estimator.planner_for(host, solved, effort.schedule, cell.samples)
    worlds = cell.plans(effort)
    name = {
        "dimension": cell.dimension,
        "seed": cell.seed,
        "estimator": cell.estimator.label,
        "samples": cell.samples,
    }
    try:
        flat, evaluations, seconds = _sample(cell, planner, solved, worlds)
    except PlanError as error:
        return {**name, "failed": str(error)}
    cost = solved.cost(flat.double()) / solved.temperature
    return {
        **name,
        "plans": worlds,
        "evaluations": evaluations / worlds,
        "seconds": seconds / worlds,
        "cost": float(cost.mean()),
        "cost_variance": float(cost.var()),
        "cost_median": float(cost.median()),
        "energy_distance": measures.endpoint_distance(solved, flat, exact),
        "mode_distance": measures.mode_distance(solved, flat),
        "mode_floor": measures.mode_floor(solved, worlds, cell.seed),
        "wrong_modes": measures.wrong_modes(solved, flat),
        "errors": _errors(cell, host, solved, effort),
    }


@lru_cache(maxsize=8)
def _solved(dimension: int, seed: int) -> tuple[TrajectoryProblem, Tensor]:
    """A problem and exact draws of its π."""
    solved = problem(dimension, seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    return solved, solved.oracle.sample(measures.REFERENCE, generator)


def _sample(
    cell: Cell, planner: Planner, solved: TrajectoryProblem, worlds: int
) -> tuple[Tensor, int, float]:
    """Plans (B, D), their cost evaluations, and the seconds that they took."""
    size = max(1, CHUNK // (cell.samples * cell.dimension))
    parts, evaluations, seconds = [], 0, 0.0
    for first in range(0, worlds, size):
        numbers = range(first, min(first + size, worlds))
        flat = None
        for replan in range(cell.estimator.replans + 1):
            context = solved.context_of([(cell.seed, number, replan) for number in numbers])
            context = attrs.evolve(context, previous=flat)
            flat, spent = _plan(planner, context)
            if cell.estimator.chained or replan == cell.estimator.replans:
                evaluations += context.diagnostics.counts["rollouts"]
                seconds += spent
        assert flat is not None
        parts.append(flat)
    return torch.cat(parts), evaluations, seconds


def _plan(planner: Planner, context: PlanContext) -> tuple[Tensor, float]:
    began = time.perf_counter()
    plan = planner.plan(context)
    seconds = time.perf_counter() - began
    name = type(planner).__name__
    if not bool(check_plan(plan, planner.layout, context.worlds, name).all()):
        raise PlanError(f"the actions that {name} planned {NOT_FINITE}")
    return plan.flat, seconds


def _errors(cell: Cell, host: Host, solved: TrajectoryProblem, effort: Effort) -> dict[str, float]:
    if not cell.estimator.estimates:
        return {}
    guidance = cell.estimator.guidance_for(host, solved, cell.samples)
    points = cell.points(effort)
    return {
        f"{sigma:g}": measures.guidance_error(
            solved, guidance, effort.schedule, sigma, points, cell.seed
        )
        for sigma in ERROR_LEVELS
    }


def references(dimension: int, seeds: int) -> dict[str, float]:
    """What is known without sampling: E[J]/λ of π and of the product policy, mean over seeds."""
    solved = [_solved(dimension, seed)[0] for seed in range(seeds)]
    count = len(solved)
    return {
        "ideal": sum(float(p.oracle.expected_cost()) / p.temperature for p in solved) / count,
        "unguided": sum(float(p.oracle.unguided_cost()) / p.temperature for p in solved) / count,
    }
