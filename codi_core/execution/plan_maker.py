"""Makes plans from requests, and finds the worlds that can't be planned for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.errors import (
    OUT_OF_MEMORY,
    CodiError,
    NotFiniteError,
    PlanError,
    SpecificationError,
    UsageError,
    is_out_of_memory,
)
from codi_core.execution.devices import copied_chunks, to_device_together
from codi_core.execution.history import History
from codi_core.execution.plan_check import NOT_FINITE, REMEDY, check_plan
from codi_core.execution.plan_request import PlanReply, PlanRequest
from codi_core.execution.world_selection import is_divisible, of_worlds
from codi_core.planning import Diagnostics, NoiseSource, Observation, Plan, PlanContext, Planner
from codi_core.planning.checks import described, looking_at_values
from codi_core.tasks.task import Advance


@attrs.frozen(eq=False)
class PlanMaker:
    """Foresees the state at which a plan starts, and has a planner plan from there.

    Attributes:
        planner: the planner.
        advance: foresees the state; None if the task can't.
    """

    planner: Planner
    advance: Advance | None = None

    @property
    def name(self) -> str:
        """What messages call it: the planner's class."""
        return type(self.planner).__name__

    def make(self, request: PlanRequest) -> PlanReply:
        """The plan that is asked for.

        Where planning raises for a batch, its worlds are planned for one by one, with the same
        noise: those that raise alone have broken.

        Raises:
            Exception: what the planner or the task raised, if it did so for all worlds.
            PlanError: no world's actions are finite.
            SpecificationError: the plan does not fit the planner's layout, or parts of the planner
                do not fit together.
        """
        began = time.perf_counter()
        numbers = self._numbers(request)
        try:
            plan, reasons = self._attempt(request)
        except (UsageError, SpecificationError):
            raise  # it is so for every world
        except Exception as error:
            if len(numbers) == 1 or not is_divisible(request.state):
                raise
            plan, reasons = self._one_by_one(request, numbers, error)
        failures = {
            number: reason for number, reason in zip(numbers, reasons, strict=True) if reason
        }
        return PlanReply(plan, time.perf_counter() - began, failures)

    def _numbers(self, request: PlanRequest) -> list[int]:
        if request.worlds is None:
            return list(range(len(request.keys)))
        return [int(number) for number in request.worlds.tolist()]

    def _attempt(self, request: PlanRequest) -> tuple[Plan, list[str | None]]:
        """The plan, and by world why it broke."""
        context = self._context(request)
        plan = self.planner.plan(context)
        finite = check_plan(plan, self.planner.layout, context.worlds, self.name)
        plan = _own(plan)
        if bool(finite.all()):
            return plan, [None] * context.worlds
        broken = [
            number for number, fine in zip(self._numbers(request), finite, strict=True) if not fine
        ]
        reason = f"the actions that {self.name} planned {self._why_not_finite(request, broken)}"
        if not bool(finite.any()):
            raise PlanError(reason)
        return _zeroed(plan, ~finite), [None if fine else reason for fine in finite.tolist()]

    def _why_not_finite(self, request: PlanRequest, broken: Sequence[int]) -> str:
        """Where numbers that aren't finite came from first, as the end of a sentence.

        The plan of the broken worlds is made again to find out, with the same noise.
        """
        if is_divisible(request.state):
            request = request.of_worlds(torch.tensor(broken))
        try:
            with looking_at_values():
                self.planner.plan(self._context(request))
        except NotFiniteError as error:
            return f"are not finite: {error}; {REMEDY}"
        except Exception:
            pass  # derivatives, for instance, can't be taken while values are looked at
        return NOT_FINITE

    def _one_by_one(
        self, request: PlanRequest, numbers: list[int], error: Exception
    ) -> tuple[Plan, list[str | None]]:
        plans: list[Plan] = []
        reasons: list[str | None] = []
        for number in numbers:
            try:
                plan, _ = self._attempt(request.of_worlds(torch.tensor([number])))
                reasons.append(None)
            except Exception as alone:
                plan = self._nothing(request.device)
                reasons.append(reason_of(alone))
            plans.append(plan)
        if all(reasons):
            raise error
        return _joined(plans), reasons

    def _context(self, request: PlanRequest) -> PlanContext:
        state, observation = self._foreseen(request)
        keys, previous, device = request.keys, request.previous, request.device
        if request.worlds is not None:
            state = of_worlds(state, request.worlds)
            observation = {name: value[request.worlds] for name, value in observation.items()}
            keys = tuple(keys[row] for row in request.worlds.tolist())
            previous = of_worlds(previous, request.worlds)
        return PlanContext(
            noise=NoiseSource(keys, device),
            observation=to_device_together(observation, device),
            layout=self.planner.layout,
            state=to_device_together(state, device),
            previous=to_device_together(previous, device),
            committed=request.committed,
            deadline=request.deadline,
        )

    def _foreseen(self, request: PlanRequest) -> tuple[Any, Observation]:
        """The state and the observations when the plan starts."""
        state, history = request.state, History.of(request.observations)
        if not request.ahead:
            return state, history.stacked()
        assert self.advance is not None
        # A history needs the observations on the way; a single one is foreseen in one call.
        pieces = request.ahead[0].shape[1] if history.length > 1 else 1
        for piece in zip(*(chunk.chunk(pieces, 1) for chunk in request.ahead), strict=True):
            state, observation = _foreseen(self.advance(state, piece))
            history.push(observation)
        return state, history.stacked()

    def _nothing(self, device: str) -> Plan:
        """A plan of one world that broke: zeros."""
        layout = self.planner.layout
        chunks = tuple(
            torch.zeros(1, layout.horizon, size, device=device) for size in layout.action_sizes
        )
        return Plan(chunks, torch.zeros(1, layout.size, device=device), Diagnostics())


def _foreseen(found: object) -> tuple[Any, Observation]:
    """What a task foresees, checked."""
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Mapping):
        raise SpecificationError(
            f"the task's `advance` returned {described(found)}; it must be a pair, the state and "
            "the named observations that follow from it"
        )
    return found


def reason_of(error: BaseException) -> str:
    """An error as the reason of an episode's failure."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    return str(error) if isinstance(error, CodiError) else f"{type(error).__name__}: {error}"


def _own(plan: Plan) -> Plan:
    """The plan in memory of its own: a planner may write its next one where this one was."""
    chunks = copied_chunks([chunk.detach() for chunk in plan.chunks])
    return attrs.evolve(plan, chunks=chunks, flat=plan.flat.detach().clone())


def _zeroed(plan: Plan, broken: Tensor) -> Plan:
    """The plan with zeros for the broken worlds (b,)."""

    def zeroed(values: Tensor) -> Tensor:
        return torch.where(
            broken.to(values.device).reshape(-1, *[1] * (values.ndim - 1)), 0.0, values
        )

    return attrs.evolve(
        plan, chunks=tuple(zeroed(chunk) for chunk in plan.chunks), flat=zeroed(plan.flat)
    )


def _joined(plans: list[Plan]) -> Plan:
    """One plan of many worlds from plans of one world each."""
    diagnostics = Diagnostics()
    for plan in plans:
        diagnostics.counts.update(plan.diagnostics.counts)
        for stage, seconds in plan.diagnostics.seconds.items():
            diagnostics.seconds[stage] += seconds
    series = [plan.diagnostics.series for plan in plans if plan.diagnostics.series]
    for name in series[0] if series else ():
        values = [entry.get(name, []) for entry in series]
        diagnostics.series[name] = [torch.cat(step) for step in zip(*values, strict=False)]
    chunks = zip(*(plan.chunks for plan in plans), strict=True)
    return Plan(
        tuple(torch.cat(chunk) for chunk in chunks),
        torch.cat([plan.flat for plan in plans]),
        diagnostics,
    )
