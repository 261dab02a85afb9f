"""Recorded plans are those of the planner: inputs are copied in, results are copied out."""

from __future__ import annotations

import time
import warnings

import attrs
import pytest
import torch

from codi_core.errors import PartError
from codi_core.execution import graphs
from codi_core.execution.graphs import GraphedPlanner
from codi_core.planning import NoiseSource, Plan, PlanContext, Planner, streams
from codi_core.testing import plain_layout, second_device
from tests.core.tape import tape

SIZE = 3


@attrs.frozen(eq=False)
class State:
    """A state estimate of B worlds."""

    offset: torch.Tensor


class Adding(Planner):
    """Adds up all that a plan may depend on."""

    layout = plain_layout(SIZE)

    def __init__(self) -> None:
        self.plans = 0

    def plan(self, context: PlanContext) -> Plan:
        self.plans += 1
        flat = context.noise.normal(SIZE) + context.observation["seen"][:, 0]
        flat = flat + context.state.offset.unsqueeze(-1) + context.noise.uniform(1)
        if context.previous is not None:
            flat = flat + 10 * context.previous
        context.diagnostics.record("mean", flat.mean(-1))
        context.diagnostics.count("positive", (flat > 0).sum())
        context.diagnostics.count("plans")
        return Plan((flat.unsqueeze(-1),), flat, context.diagnostics)


class Reading(Adding):
    """Looks at a value."""

    def plan(self, context: PlanContext) -> Plan:
        made = super().plan(context)
        return attrs.evolve(made, flat=made.flat * float(made.flat.sum()))


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise that CUDA has."""

    def streams_on(keys, device):
        return streams.CounterStreams([streams.seed_of(key) for key in keys], device)

    monkeypatch.setattr("codi_core.planning.noise.streams_on", streams_on)


def context(number: int, device: torch.device, worlds: int = 2, **changes) -> PlanContext:
    """One of many contexts; the same each time."""
    generator = torch.Generator().manual_seed(number)
    return PlanContext(
        NoiseSource([(0, world, number) for world in range(worlds)], device),
        {"seen": torch.randn(worlds, 1, SIZE, generator=generator).to(device)},
        Adding.layout,
        State(torch.randn(worlds, generator=generator).to(device)),
        **changes,
    )


def test_replays_are_plans_of_what_they_are_given() -> None:
    with second_device() as device:
        planner, plain = Adding(), Adding()
        graphed = GraphedPlanner(planner, tape)
        found = [graphed.plan(context(number, device)) for number in range(3)]
        assert planner.plans == 2  # a first run, and the recorded one
        for number, plan in enumerate(found):
            expected = plain.plan(context(number, device))
            assert torch.equal(plan.flat, expected.flat)
            assert torch.equal(plan.chunks[0], expected.chunks[0])
            assert torch.equal(plan.diagnostics.series["mean"][0], expected.flat.mean(-1))
            assert plan.diagnostics.counts == expected.diagnostics.counts


def test_other_sizes_and_kinds_of_plans_are_recorded_apart() -> None:
    with second_device() as device:
        graphed, plain = GraphedPlanner(Adding(), tape), Adding()
        previous = torch.ones(2, SIZE, device=device)
        for changes in ({}, {"worlds": 3}, {"previous": previous}, {"committed": 1}, {}):
            plan = graphed.plan(context(5, device, **changes))
            assert torch.equal(plan.flat, plain.plan(context(5, device, **changes)).flat)
        assert len(graphed._recordings) == 4


def test_only_so_many_recordings_are_kept() -> None:
    with second_device() as device:
        graphed = GraphedPlanner(Adding(), tape)
        for worlds in range(1, graphs.MOST + 4):
            graphed.plan(context(0, device, worlds=worlds))
        assert len(graphed._recordings) == graphs.MOST


class ReadingInAPart(Reading):
    """A part of it does, so that a planner tells which one it was."""

    def plan(self, context: PlanContext) -> Plan:
        try:
            return super().plan(context)
        except RuntimeError as error:
            raise PartError(str(error)) from error


@pytest.mark.parametrize("kind", [Reading, ReadingInAPart])
def test_what_cannot_be_recorded_is_planned_as_usual_and_told_once(kind: type[Reading]) -> None:
    with second_device() as device:
        graphed, plain = GraphedPlanner(kind(), tape), Reading()
        with pytest.warns(UserWarning, match=r"made without CUDA graphs: the host waits: aten::_l"):
            first = graphed.plan(context(0, device))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            second = graphed.plan(context(1, device))
        assert torch.equal(first.flat, plain.plan(context(0, device)).flat)
        assert torch.equal(second.flat, plain.plan(context(1, device)).flat)


def test_plans_with_a_deadline_are_made_as_usual() -> None:
    with second_device() as device:
        graphed = GraphedPlanner(Adding(), tape)
        graphed.plan(context(0, device, deadline=time.monotonic() + 60))
        assert not graphed._recordings
