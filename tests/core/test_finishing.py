"""Once the task is done its end is followed, and in worlds where it is not done, plans are."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor

from codi_core.execution.finishing import FinishingPlanner
from codi_core.planning import NoiseSource, Plan, PlanContext, Planner
from codi_core.tasks import Finish
from codi_core.testing import plain_layout, second_device

SIZE = 3


@attrs.frozen(eq=False)
class State:
    """How far B worlds are from their goals."""

    left: Tensor


class Ones(Planner):
    """Plans ones, and counts how often it was asked."""

    layout = plain_layout(SIZE)

    def __init__(self) -> None:
        self.plans = 0

    def plan(self, context: PlanContext) -> Plan:
        self.plans += 1
        context.diagnostics.count("plans")
        flat = torch.ones(context.worlds, SIZE, device=context.noise.device)
        return Plan((flat.unsqueeze(1),), flat, context.diagnostics)


def minus_left(state: State, steps: int) -> tuple[Tensor, ...]:
    return (-state.left.view(-1, 1, 1).expand(-1, steps, SIZE),)


FINISH = Finish(done=lambda state: state.left < 1.0, chunks=minus_left)


def context(left: list[float], device: str = "cpu", previous: Tensor | None = None) -> PlanContext:
    keys = [(0, world, 0) for world in range(len(left))]
    there = State(torch.tensor(left).to(device))
    return PlanContext(NoiseSource(keys, device), {}, Ones.layout, there, previous)


def test_nothing_changes_before_the_end() -> None:
    planner = Ones()
    made = FinishingPlanner(planner, FINISH).plan(context([2.0, 3.0]))
    assert planner.plans == 1
    assert torch.equal(made.chunks[0], torch.ones(2, 1, SIZE))
    assert made.diagnostics.counts == {"plans": 1}


def test_worlds_that_are_done_follow_the_end_and_others_the_plan() -> None:
    planner = Ones()
    made = FinishingPlanner(planner, FINISH).plan(context([0.5, 3.0]))
    assert planner.plans == 1
    assert made.chunks[0][:, 0].tolist() == [[-0.5] * SIZE, [1.0] * SIZE]


@pytest.mark.parametrize("previous", [None, torch.full((2, SIZE), 7.0)])
def test_nothing_is_planned_if_all_are_done(previous: Tensor | None) -> None:
    """A later plan then begins from the last one that was made."""
    planner = Ones()
    finishing = FinishingPlanner(planner, FINISH)
    made = finishing.plan(context([0.5, 0.25], previous=previous))
    assert (planner.plans, made.diagnostics.counts) == (0, {"done": 2})
    assert made.chunks[0][:, 0].tolist() == [[-0.5] * SIZE, [-0.25] * SIZE]
    assert torch.equal(made.flat, torch.zeros(2, SIZE) if previous is None else previous)
    finishing.plan(context([0.5, 4.0]))
    assert planner.plans == 1


def test_elsewhere_nobody_waits_to_see_who_is_done() -> None:
    planner = Ones()
    with second_device() as device:
        made = FinishingPlanner(planner, FINISH).plan(context([0.5, 0.25], str(device)))
    assert planner.plans == 1  # though all are done: to know that would be to wait
    assert made.chunks[0].device.type == "meta"


@attrs.frozen(eq=False)
class Apart(State):
    """The same, and some of its worlds can be taken out."""

    def of_worlds(self, rows: Tensor) -> Apart:
        return Apart(self.left[rows])


class Noisy(Planner):
    """Plans what is left, and noise."""

    layout = plain_layout(SIZE)

    def plan(self, context: PlanContext) -> Plan:
        context.diagnostics.count("worlds", context.worlds)
        seen = context.observation["left"][:, 0]
        flat = context.noise.normal(SIZE) + seen.view(-1, 1) + 10.0 * context.state.left.view(-1, 1)
        if context.previous is not None:
            flat = flat + context.previous
        return Plan((flat.unsqueeze(1),), flat, context.diagnostics)


@pytest.mark.parametrize("previous", [None, torch.arange(9.0).view(3, SIZE)])
def test_only_worlds_that_are_not_done_are_planned_for(previous: Tensor | None) -> None:
    """Each with its own noise, observation, state and plan before, as if all were planned for."""

    def asked(state: State) -> PlanContext:
        keys = [(0, world, 0) for world in range(3)]
        seen = {"left": state.left.unsqueeze(-1)}
        return PlanContext(NoiseSource(keys), seen, Noisy.layout, state, previous)

    left = torch.tensor([2.0, 0.5, 3.0])
    finishing = FinishingPlanner(Noisy(), FINISH)
    part, whole = finishing.plan(asked(Apart(left))), finishing.plan(asked(State(left)))
    assert part.diagnostics.counts == {"worlds": 2, "done": 1}
    assert whole.diagnostics.counts == {"worlds": 3}
    assert torch.equal(part.chunks[0], whole.chunks[0])
    before = torch.zeros(SIZE) if previous is None else previous[1]
    assert torch.equal(part.flat, whole.flat.index_copy(0, torch.tensor([1]), before[None]))
