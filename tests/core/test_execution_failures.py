"""Worlds that break: they fail alone, with their reason, and the others never notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.errors import PlanError, SpecificationError, UsageError
from codi_core.execution import LoopSettings, RecedingHorizon, Rollout, SimulatedPlant, check_plan
from codi_core.planning import ChunkLayout, Diagnostics, Plan, PlanContext, Planner
from codi_core.tasks import Environment, EpisodeKey, Step

HORIZON = 8
KEYS = [EpisodeKey(7, number) for number in (3, 4, 5)]
LAYOUT = ChunkLayout(
    ((0,), (1,)), (slice(0, HORIZON), slice(HORIZON, 3 * HORIZON)), (1, 2), HORIZON
)

Breaks = Callable[[PlanContext, Tensor], Tensor | None]
"""Gets a context and the episodes' marks (b,); may raise, or say which chunks are NaN (b,)."""


class MarkedWorld(Environment):
    """Each world's state is a mark of its episode; it keeps the first agent's actions."""

    def reset(self, episodes: Sequence[EpisodeKey], rows: Sequence[int] | None = None) -> Step:
        self.marks = torch.tensor([float(key.episode) for key in episodes])
        self.clock, self.actions = 0, []
        return self.look()

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        self.actions.append(actions[0][:, 0].tolist())
        self.clock += 1
        return self.look()

    def look(self) -> Step:
        events = {"clock": np.full(len(self.marks), self.clock)}
        return Step(self.clock / 10, self.marks, {"mark": self.marks[:, None]}, events)


class BreakablePlanner(Planner):
    """Action k of plan r is 100 r + k, plus noise of 1e-3; some worlds break."""

    layout = LAYOUT

    def __init__(self, breaks: Breaks) -> None:
        self.breaks = breaks
        self.batches: list[int] = []
        self.noise: dict[int, list[float]] = {}

    def plan(self, context: PlanContext) -> Plan:
        self.batches.append(context.worlds)
        nan = self.breaks(context, context.state)
        noise = 1e-3 * context.noise.normal(1)
        for mark, value in zip(context.state.tolist(), noise[:, 0].tolist(), strict=True):
            self.noise.setdefault(int(mark), []).append(value)
        number = 0.0 if context.previous is None else 1.0
        chunk = 100 * number + torch.arange(float(HORIZON)) + noise
        if nan is not None:
            chunk = chunk.masked_fill(nan[:, None], torch.nan)
        chunks = (chunk[..., None], chunk[..., None].expand(-1, -1, 2))
        context.diagnostics.count("rollouts", context.worlds)
        context.diagnostics.record("size", torch.ones(context.worlds))
        flat = torch.cat([part.flatten(1) for part in chunks], 1)
        return Plan(chunks, flat, context.diagnostics)


def run(
    breaks: Breaks, keys: Sequence[EpisodeKey] = KEYS, loop: RecedingHorizon | None = None
) -> tuple[Rollout, MarkedWorld, BreakablePlanner]:
    world, planner = MarkedWorld(), BreakablePlanner(breaks)
    settings = LoopSettings(rate_hz=10, horizon=HORIZON, execute=4, max_seconds=0.8)
    loop = loop or RecedingHorizon(planner, settings)
    loop.planner = planner
    return loop.run(SimulatedPlant(world, keys, 10), keys), world, planner


def sound(context: PlanContext, marks: Tensor) -> None:
    return None


def nan_for(mark: float, first: bool = True) -> Breaks:
    """Not finite for one episode, in all plans or from the second one on."""
    return lambda context, marks: (marks == mark) & (first or context.previous is not None)


def raises_for(mark: float, first: bool = True) -> Breaks:
    """Raises whenever that episode is planned for."""

    def breaks(context: PlanContext, marks: Tensor) -> None:
        if (first or context.previous is not None) and bool((marks == mark).any()):
            raise ValueError(f"no value for {mark:g}")

    return breaks


def test_without_failures_there_are_none() -> None:
    rollout, _, planner = run(sound)
    assert rollout.failures == (None, None, None)
    assert planner.batches == [3, 3]


def test_a_world_whose_plan_is_not_finite_fails_alone() -> None:
    rollout, world, _ = run(nan_for(4, first=False))
    assert [failure is None for failure in rollout.failures] == [True, False, True]
    assert "the actions that BreakablePlanner planned are not finite" in str(rollout.failures[1])
    assert rollout.lengths.tolist() == [9, 5, 9]
    # It goes on with its last plan; the others have their new ones.
    whole, untroubled, _ = run(sound)
    for tick, actions in enumerate(world.actions):
        assert actions[0] == untroubled.actions[tick][0]
        assert actions[1] == pytest.approx(tick % 4, abs=0.01)
        assert actions[2] == untroubled.actions[tick][2]
    assert whole.replans[1].counts == rollout.replans[1].counts


def test_a_world_without_a_first_plan_gets_zeros() -> None:
    rollout, world, planner = run(nan_for(3))
    assert rollout.lengths.tolist() == [1, 9, 9]
    assert [actions[0] for actions in world.actions] == [0.0] * 8
    # It is planned for alone to see where that began; then its episode is over.
    assert planner.batches == [3, 1, 2]


def test_a_world_that_raises_is_found_and_the_others_get_the_same_noise() -> None:
    rollout, world, planner = run(raises_for(5, first=False))
    assert rollout.failures == (None, None, "ValueError: no value for 5")
    assert rollout.lengths.tolist() == [9, 9, 5]
    assert planner.batches == [3, 3, 1, 1, 1]
    _, untroubled, other = run(sound)
    assert planner.noise[3] == other.noise[3]
    assert planner.noise[4] == other.noise[4]
    assert [actions[:2] for actions in world.actions] == [
        actions[:2] for actions in untroubled.actions
    ]
    # Measurements of the plans that were made alone are put together.
    assert rollout.replans[1].counts == {"rollouts": 2}
    assert rollout.replans[1].series == {"size": (1.0,)}


def test_if_all_worlds_break_it_is_the_users_mistake() -> None:
    def breaks(context: PlanContext, marks: Tensor) -> None:
        raise ValueError(f"planned for {len(marks)}")

    with pytest.raises(ValueError, match="planned for 3"):
        run(breaks)
    with pytest.raises(PlanError, match="the actions that BreakablePlanner planned are not"):
        run(lambda context, marks: marks > 0)


@pytest.mark.parametrize("breaks", [nan_for, raises_for])
def test_a_single_world_fails_once_the_planner_has_worked(breaks: Any) -> None:
    rollout, _, _ = run(breaks(3, first=False), KEYS[:1])
    assert rollout.failures[0] is not None
    assert rollout.lengths.tolist() == [5]


def test_a_single_world_whose_first_plan_breaks_is_a_mistake_in_the_first_episode() -> None:
    with pytest.raises(ValueError, match="no value for 3"):
        run(raises_for(3), KEYS[:1])
    settings = LoopSettings(rate_hz=10, horizon=HORIZON, execute=4, max_seconds=0.8)
    loop = RecedingHorizon(BreakablePlanner(sound), settings)
    run(sound, KEYS[:1], loop)
    rollout, world, _ = run(raises_for(3), KEYS[:1], loop)
    assert rollout.failures == ("ValueError: no value for 3",)
    assert world.actions == []


@pytest.mark.parametrize("kind", [UsageError, SpecificationError])
def test_mistakes_of_usage_end_the_run_at_any_time(kind: type[Exception]) -> None:
    planned = []

    def breaks(context: PlanContext, marks: Tensor) -> None:
        planned.append(context.worlds)
        if context.previous is not None:
            raise kind("not so")

    with pytest.raises(kind, match="not so"):
        run(breaks)
    assert planned == [3, 3]  # nobody looks for a world that is to blame
    with pytest.raises(kind, match="not so"):
        run(breaks, KEYS[:1])


def test_a_state_that_cannot_be_divided_raises_as_it_is() -> None:
    class Whole(MarkedWorld):
        def look(self) -> Step:
            step = super().look()
            return attrs.evolve(step, state={"marks": step.state})

    class OfWhole(BreakablePlanner):
        def plan(self, context: PlanContext) -> Plan:
            return super().plan(attrs.evolve(context, state=context.state["marks"]))

    settings = LoopSettings(rate_hz=10, horizon=HORIZON, execute=4, max_seconds=0.8)
    loop = RecedingHorizon(OfWhole(raises_for(5)), settings)
    with pytest.raises(ValueError, match="no value for 5"):
        loop.run(SimulatedPlant(Whole(), KEYS, 10), KEYS)


def test_what_breaks_after_an_episode_is_over_does_not_count() -> None:
    class Won(MarkedWorld):
        """Its state can't be divided: all worlds are planned for to the end."""

        def look(self) -> Step:
            step = super().look()
            won = np.array([False, False, self.clock >= 2])
            return attrs.evolve(step, state=[self.marks], events={**step.events, "succeeded": won})

    class OfList(BreakablePlanner):
        def plan(self, context: PlanContext) -> Plan:
            return super().plan(attrs.evolve(context, state=context.state[0]))

    settings = LoopSettings(10, HORIZON, 4, 0.8, after_success=0.0)
    loop = RecedingHorizon(OfList(nan_for(5, first=False)), settings)
    rollout = loop.run(SimulatedPlant(Won(), KEYS, 10), KEYS)
    assert rollout.failures == (None, None, None)
    assert rollout.lengths.tolist() == [9, 9, 3]


def plan(**changes: Any) -> Plan:
    chunks = (torch.zeros(3, HORIZON, 1), torch.zeros(3, HORIZON, 2))
    flat = torch.zeros(3, 3 * HORIZON)
    return attrs.evolve(Plan(chunks, flat, Diagnostics()), **changes)


def test_a_plan_that_fits_is_finite_by_world() -> None:
    chunks = (torch.zeros(3, HORIZON, 1), torch.zeros(3, HORIZON, 2))
    chunks[1][2, 4, 1] = torch.inf
    flat = torch.zeros(3, 3 * HORIZON)
    flat[0, 7] = torch.nan
    assert check_plan(plan(), LAYOUT, 3, "Mine").tolist() == [True] * 3
    found = check_plan(plan(chunks=chunks, flat=flat), LAYOUT, 3, "Mine")
    assert found.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, r"Mine\.plan\(\) returned a NoneType, not a Plan"),
        (plan(chunks=(torch.zeros(3, HORIZON, 1),)), "Mine planned chunks for 1 agents; .* 2"),
        (
            plan(chunks=(torch.zeros(3, HORIZON, 1),) * 2),
            r"agent 1's chunk with the shape \(3, 8, 1\); it must be \(3, 8, 2\)",
        ),
        (
            plan(flat=torch.zeros(3, 24).long()),
            "the flat joint chunk as a tensor of torch.int64 of",
        ),
        (plan(flat=torch.zeros(2, 24)), r"flat joint chunk with the shape \(2, 24\); .* \(3, 24\)"),
    ],
    ids=["nothing", "agents", "chunk", "type", "flat"],
)
def test_a_plan_that_does_not_fit_its_layout_is_named(made: object, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        check_plan(made, LAYOUT, 3, "Mine")
