"""Agents that stop when the task is done."""

from __future__ import annotations

import torch
from torch import Tensor

from codi_core.planning import Plan, PlanContext, Planner
from codi_core.resources import can_branch_on
from codi_core.tasks import Finish


class FinishingPlanner(Planner):
    """Another planner's plans, but where the task is done: there, what agents do afterwards.

    Base policies know nothing of the goal: what brought an object there takes it up again. So
    what is agreed to be the end is looked for in the state estimate before each plan. If it has
    come in all worlds, nothing is planned; if the task comes undone, planning goes on.

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
                return Plan(self._afterwards(context), self._before(context), context.diagnostics)
        plan = self.planner.plan(context)
        chunks = tuple(
            torch.where(done.view(-1, 1, 1), after.to(chunk), chunk)
            for after, chunk in zip(self._afterwards(context), plan.chunks, strict=True)
        )
        return Plan(chunks, plan.flat, plan.diagnostics)

    def _afterwards(self, context: PlanContext) -> tuple[Tensor, ...]:
        return self.finish.chunks(context.state, self.layout.horizon)

    def _before(self, context: PlanContext) -> Tensor:
        """The flat chunk that a later plan may begin from: the latest one that was planned."""
        if context.previous is not None:
            return context.previous
        return torch.zeros(context.worlds, self.layout.size, device=context.noise.device)
