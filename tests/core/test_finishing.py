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
    assert planner.plans == 0
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
