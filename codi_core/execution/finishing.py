"""Agents that stop when the task is done."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.execution.world_selection import is_divisible, of_worlds
from codi_core.planning import Plan, PlanContext, Planner
from codi_core.resources import can_branch_on
from codi_core.tasks import Finish

DONE = "done"
"""The counter of worlds that nothing was planned for, because their task is done."""


class FinishingPlanner(Planner):
    """Another planner's plans, but where the task is done: there, what agents do afterwards.

    Base policies know nothing of the goal: what brought an object there takes it up again. So
    what is agreed to be the end is looked for in the state estimate before each plan. Where it has
    come, nothing is planned; if the task comes undone, planning goes on. On a device, to know who
    is done would be to wait for it: there, all worlds are planned for.

    Args:
        planner: makes the plans.
        finish: what the task agrees on.
    """

    def __init__(self, planner: Planner, finish: Finish) -> None:
        self.planner = planner
        self.finish = finish
        self.layout = planner.layout

    def plan(self, context: PlanContext) -> Plan:
        """Plan for the worlds whose task is not done, from the state in ``context``."""
        done = self.finish.done(context.state)
        if can_branch_on(done):
            if not done.any():
                return self.planner.plan(context)
            if done.all():
                context.diagnostics.count(DONE, context.worlds)
                return Plan(self._afterwards(context), self._before(context), context.diagnostics)
            if is_divisible(context.state):
                return self._where_undone(context, torch.where(~done)[0])
        plan = self.planner.plan(context)
        chunks = tuple(
            torch.where(done.view(-1, 1, 1), after.to(chunk), chunk)
            for after, chunk in zip(self._afterwards(context), plan.chunks, strict=True)
        )
        return Plan(chunks, plan.flat, plan.diagnostics)

    def _where_undone(self, context: PlanContext, rows: Tensor) -> Plan:
        """The end in all worlds, and over it a plan of those with the numbers ``rows``, (b,)."""
        context.diagnostics.count(DONE, context.worlds - len(rows))
        plan = self.planner.plan(_of_worlds(context, rows))
        chunks = tuple(
            after.to(chunk).index_copy(0, rows, chunk)
            for after, chunk in zip(self._afterwards(context), plan.chunks, strict=True)
        )
        flat = self._before(context).to(plan.flat).index_copy(0, rows, plan.flat)
        return Plan(chunks, flat, plan.diagnostics)

    def _afterwards(self, context: PlanContext) -> tuple[Tensor, ...]:
        return self.finish.chunks(context.state, self.layout.horizon)

    def _before(self, context: PlanContext) -> Tensor:
        """The flat chunk that a later plan may begin from: the latest one that was planned."""
        if context.previous is not None:
            return context.previous
        return torch.zeros(context.worlds, self.layout.size, device=context.noise.device)


def _of_worlds(context: PlanContext, rows: Tensor) -> PlanContext:
    """What a plan of some worlds alone is made from; it measures into the same diagnostics."""
    return attrs.evolve(
        context,
        noise=context.noise.of_worlds(rows.tolist()),
        observation={name: value[rows] for name, value in context.observation.items()},
        state=of_worlds(context.state, rows),
        previous=of_worlds(context.previous, rows),
        cache={},
    )
