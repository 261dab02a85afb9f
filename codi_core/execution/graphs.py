"""Plans as CUDA graphs: recorded once, and replayed without Python or launches one by one.

A plan consists of thousands of small kernels, each of which takes longer to launch than to run. A
CUDA graph launches them all at once. It always reads and writes the same memory, so what a plan
depends on is copied there before, and its result is copied out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.errors import PartError
from codi_core.execution.devices import copied_chunks, with_tensors
from codi_core.planning import Diagnostics, NoiseSource, Plan, PlanContext, Planner

Replay = Callable[[], object]
"""Makes a recorded plan again, in the same memory."""

MOST = 8
"""So many sizes of batches are kept recorded; the one that came first goes first."""


def cuda_graph(run: Callable[[], Plan]) -> tuple[Plan, Replay]:
    """Record a run as a CUDA graph.

    Args:
        run: always reads the same memory, and waits for the device no more after its first call.

    Returns:
        Its plan, and what makes that plan anew.

    Raises:
        RuntimeError: something in it can't be recorded.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()  # copies constants, loads kernels
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            run()  # a wait is found here, before it spoils a recording
        finally:
            torch.cuda.set_sync_debug_mode(before)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Physics that are recorded by another library join in with this mode.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        plan = run()
    return plan, graph.replay


class GraphedPlanner(Planner):
    """Records the plans of another planner, one for each size of batch, and replays them.

    Plans are as they are without, but that nobody measures how long their stages take. What can't
    be recorded, or has a deadline, is planned as usual; a warning says why.

    Args:
        planner: makes the plans. Besides tensors, its state estimates always hold the same.
        record: records a run.
    """

    def __init__(
        self,
        planner: Planner,
        record: Callable[[Callable[[], Plan]], tuple[Plan, Replay]] = cuda_graph,
    ) -> None:
        self.planner = planner
        self.layout = planner.layout
        self._record = record
        self._recordings: dict[Hashable, _Recording | None] = {}

    def plan(self, context: PlanContext) -> Plan:
        """Plan by a replay, from the observation and the state in ``context``."""
        if context.deadline is not None:
            return self.planner.plan(context)
        tensors = _tensors(context)
        signature = _signature(context, tensors)
        if signature not in self._recordings:
            if len(self._recordings) == MOST:
                del self._recordings[next(iter(self._recordings))]
            self._recordings[signature] = self._recorded(context)
        recording = self._recordings[signature]
        if recording is None:
            return self.planner.plan(context)
        return recording.plan_from(context, tensors)

    @torch.inference_mode(False)  # recordings outlive the plan that asks first
    def _recorded(self, context: PlanContext) -> _Recording | None:
        kept = _Inputs.of(context)
        try:
            plan, replay = self._record(lambda: self.planner.plan(kept.context()))
        except (RuntimeError, PartError) as error:  # a part's own error comes up in the plain plan
            reason = str(error).strip().split("\n")[0]
            warnings.warn(f"plans are made without CUDA graphs: {reason}", stacklevel=3)
            return None
        return _Recording(kept, plan, replay)


@attrs.frozen(eq=False)
class _Inputs:
    """What plans depend on, in memory that stays.

    Attributes:
        given: a context that has it.
        tensors: what it holds besides noise.
    """

    given: PlanContext
    tensors: list[Tensor]

    @classmethod
    def of(cls, context: PlanContext) -> _Inputs:
        """Copies of a context's tensors, and streams that stand where its noise does."""
        noise = NoiseSource([(0, 0, 0)] * context.worlds, context.noise.device)
        noise.replace(range(context.worlds), context.noise)
        copies = with_tensors(_dependencies(context), Tensor.clone)
        given = attrs.evolve(context, noise=noise, **copies)
        return cls(given, _tensors(given))

    def context(self) -> PlanContext:
        """A plan from them; the state is another object, so that nobody takes it for known."""
        return attrs.evolve(
            self.given,
            state=with_tensors(self.given.state, lambda tensor: tensor.view_as(tensor)),
            diagnostics=Diagnostics(),
            cache={},
        )

    def become(self, context: PlanContext, tensors: list[Tensor]) -> None:
        """Take over what another plan depends on; ``tensors`` are what its context holds."""
        for kind in {kept.dtype for kept in self.tensors}:
            # In a few kernels, however many agents there are, if all have one type.
            pairs = zip(self.tensors, tensors, strict=True)
            mine, others = zip(*(pair for pair in pairs if pair[0].dtype == kind), strict=True)
            torch._foreach_copy_(mine, others)
        self.given.noise.replace(range(context.worlds), context.noise)


@attrs.frozen(eq=False)
class _Recording:
    """One recorded plan."""

    inputs: _Inputs
    plan: Plan
    replay: Replay

    def plan_from(self, context: PlanContext, tensors: list[Tensor]) -> Plan:
        """The plan of a context that holds these tensors, in memory of its own."""
        self.inputs.become(context, tensors)
        self.replay()
        return Plan(
            copied_chunks(self.plan.chunks), self.plan.flat.clone(), self.plan.diagnostics.copied()
        )


def _dependencies(context: PlanContext) -> dict[str, Any]:
    """What holds the tensors that a plan depends on, but for its noise."""
    return {
        "observation": dict(context.observation),
        "state": context.state,
        "previous": context.previous,
    }


def _tensors(context: PlanContext) -> list[Tensor]:
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    with_tensors(_dependencies(context), note)
    return found


def _signature(context: PlanContext, tensors: Sequence[Tensor]) -> Hashable:
    """What plans of one recording share, if their contexts hold such tensors."""
    sizes = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
    return context.worlds, context.committed, context.sigma_range, context.previous is None, sizes
