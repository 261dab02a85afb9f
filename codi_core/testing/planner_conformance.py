"""Checks that a planner returns what a plan must be, and nothing that depends on anything else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from codi_core.errors import SpecificationError
from codi_core.execution.plan_check import check_plan
from codi_core.execution.world_selection import is_divisible, of_worlds
from codi_core.planning import NoiseSource, Observation, Plan, PlanContext, Planner
from codi_core.testing.requirement import ConformanceError, require

TOLERANCE = 1e-3


def check_planner(
    planner: Planner,
    observation: Observation,
    state: Any = None,
    previous: Tensor | None = None,
) -> None:
    """Check a planner's plans in given worlds: their form, their noise, and worlds among others.

    Args:
        planner: the planner, whose ``layout`` says what a plan is made of.
        observation: what is seen in B worlds, named tensors (B, H, ...).
        state: the task's state estimate there. If it is None or can be divided, each world is also
            planned for alone.
        previous: the previous plan's flat joint chunk, normalised, (B, D), or None.

    Raises:
        ConformanceError: a plan is of the wrong form or not finite, the same noise gives two
            plans, the observation is changed, or a world's plan depends on the other worlds.
    """
    name, worlds = type(planner).__name__, len(next(iter(observation.values())))
    kept = {key: value.clone() for key, value in observation.items()}

    def plan(rows: Tensor) -> Plan:
        every_world = len(rows) == worlds
        context = PlanContext(
            NoiseSource([(0, int(row), 0) for row in rows]),
            # Not copied where all worlds are planned for, so that a change of it shows.
            {k: v if every_world else v[rows] for k, v in observation.items()},
            planner.layout,
            state if every_world else of_worlds(state, rows),
            None if previous is None else previous[rows],
        )
        with torch.no_grad():
            made = planner.plan(context)
        _check_form(made, planner, len(rows), name)
        return made

    every = torch.arange(worlds)
    whole = plan(every)
    again = plan(every)
    require(
        torch.equal(again.flat, whole.flat),
        f"{name}: the same noise gives two plans: draw noise from context.noise only, and keep "
        "nothing from plan to plan",
    )
    for key, value in observation.items():
        require(torch.equal(value, kept[key]), f"{name}: planning changes the observation '{key}'")
    if worlds == 1 or not is_divisible(state):
        return
    for world in (0, worlds - 1):
        alone = plan(torch.tensor([world])).flat[0]
        gap = float((alone - whole.flat[world]).abs().max())
        require(
            gap <= TOLERANCE,
            f"{name}: world {world} planned alone differs by {gap:.3g} from the same world in a "
            "batch",
        )


def _check_form(made: object, planner: Planner, worlds: int, name: str) -> None:
    try:
        finite = check_plan(made, planner.layout, worlds, name)
    except SpecificationError as error:
        raise ConformanceError(str(error)) from error
    lost = int((~finite).sum())
    require(lost == 0, f"{name} planned actions that are not finite in {lost} of {worlds} worlds")
