"""Real planning times in a simulation: when plans take effect, and how they are replayed."""

from __future__ import annotations

import time
from typing import Any

import attrs
import pytest
import torch

from codi_core.errors import UsageError
from codi_core.execution import LoopSettings, RecedingHorizon, Rollout, SimulatedPlant
from codi_core.execution.delays import RECENT, Delays
from codi_core.planning import Plan, PlanContext, Planner
from codi_core.tasks import EpisodeKey
from tests.core.test_execution import HORIZON, CountingPlanner, RecordingWorld, advance

KEY = [EpisodeKey(7, 3)]


class OneWorld(RecordingWorld):
    """Keeps the first agent's actions."""

    def step(self, actions: Any) -> Any:
        self.actions.append((float(actions[0][0, 0]), 0.0))
        self.clock += 1
        return self.look()


def settings(**changes: Any) -> LoopSettings:
    given = {
        "rate_hz": 10,
        "horizon": HORIZON,
        "execute": 4,
        "max_seconds": 1.6,
        "latency": "measured",
        **changes,
    }
    return LoopSettings(**given)


def run(
    delays: list[float] | None, planner: Planner | None = None, **changes: Any
) -> tuple[Rollout, list[float], Any]:
    world, planner = OneWorld(), planner or CountingPlanner()
    foresees = changes.pop("foresees", True)
    loop = RecedingHorizon(planner, settings(**changes), advance if foresees else None)
    rollout = loop.run(SimulatedPlant(world, KEY, 10), KEY, delays=delays)
    return rollout, [first for first, _ in world.actions], planner


def test_a_plan_takes_effect_when_its_delay_has_passed() -> None:
    # As slow as expected: each plan is begun two steps before it is wanted.
    rollout, applied, planner = run([0.15] * 5)
    assert applied == [100.0 * plan + k for plan in range(4) for k in range(4)]
    assert [replan.time for replan in rollout.replans] == pytest.approx([0, 0.2, 0.6, 1, 1.4])
    assert [replan.start for replan in rollout.replans] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert [replan.dropped for replan in rollout.replans] == [0] * 5
    assert [context.committed for context in planner.contexts] == [0, 4, 4, 4, 4]
    assert rollout.delays == (0.15,) * 5


def test_a_late_plan_drops_what_has_passed_and_an_early_one_waits() -> None:
    rollout, applied, planner = run([0.05, 0.25, 0.05, 0.05], max_seconds=1.3)
    # The second plan is begun at 0.3 s for 0.4 s, and arrives at 0.55 s: in time for 0.6 s. The
    # third one is expected to take three steps, begun at 0.7 s, and waits from 0.8 s to 1.0 s.
    assert applied == [0, 1, 2, 3, 4, 5, 102, 103, 104, 105, 200, 201, 202]
    assert [replan.dropped for replan in rollout.replans] == [0, 2, 0, 0][: len(rollout.replans)]
    assert [replan.time for replan in rollout.replans[:3]] == pytest.approx([0, 0.3, 0.7])
    assert [replan.start for replan in rollout.replans[:3]] == pytest.approx([0, 0.4, 1.0])
    # The third plan starts six steps after the second was meant to.
    assert planner.contexts[2].committed == 6
    # Foreseen from step 7 with the second plan's actions of steps 7, 8 and 9.
    assert float(planner.contexts[2].state[0]) == 7 + 1000 + 103 + 104 + 105


def test_without_an_action_left_the_episode_ends() -> None:
    rollout, applied, _ = run([0.05, 0.65])
    assert applied == list(range(HORIZON))
    assert rollout.failures == (
        "no plan was left at 0.80 s: the latest one, begun at 0.30 s, took 0.65 s",
    )
    assert rollout.lengths.tolist() == [HORIZON + 1]
    assert [replan.dropped for replan in rollout.replans] == [0, -1]


def test_a_task_that_cannot_foresee_plans_from_what_it_sees() -> None:
    _, applied, planner = run([0.05, 0.15, 0.15, 0.15, 0.15], foresees=False)
    assert applied[:10] == [0, 1, 2, 3, 4, 102, 103, 104, 105, 202]
    assert [float(context.state[0]) for context in planner.contexts[:3]] == [0, 3, 7]


def test_a_plan_is_never_foreseen_to_start_beyond_the_last_action() -> None:
    # The second plan arrives as the first one ends. The third is expected to take five steps, but
    # the second one has four actions left.
    rollout, applied, _ = run([0.05, 0.45, 0.05, 0.05])
    assert [replan.start for replan in rollout.replans] == pytest.approx([0, 0.4, 1.2, 1.7])
    assert applied == [*range(8), 104, 105, 106, 107, 200, 201, 202, 203]
    assert rollout.failures == (None,)


class SlowPlanner(CountingPlanner):
    """Takes 0.12 s for its second plan."""

    def plan(self, context: PlanContext) -> Plan:
        if len(self.contexts) == 1:
            time.sleep(0.12)
        return super().plan(context)


def test_measured_delays_are_those_of_planning_and_replay_the_run() -> None:
    rollout, applied, planner = run(None, SlowPlanner())
    assert rollout.delays[1] >= 0.12
    assert rollout.replans[1].dropped >= 1
    again, repeated, quick = run(list(rollout.delays))
    assert repeated == applied
    assert again.delays == rollout.delays
    assert [replan.start for replan in again.replans] == [
        replan.start for replan in rollout.replans
    ]
    for mine, other in zip(planner.contexts, quick.contexts, strict=True):
        assert torch.equal(mine.state, other.state)
        assert mine.committed == other.committed


def test_plans_have_a_deadline_where_time_is_measured() -> None:
    before = time.monotonic()
    _, _, planner = run(None, SlowPlanner())
    deadlines = [context.deadline for context in planner.contexts]
    assert deadlines[0] is None
    assert all(before < deadline < time.monotonic() + 1 for deadline in deadlines[1:])
    _, _, replayed = run([0.05] * 9)
    _, _, fixed = run(None, latency=0.2)
    assert {context.deadline for context in replayed.contexts + fixed.contexts} == {None}


def test_delays_of_another_run_are_refused() -> None:
    with pytest.raises(UsageError, match="they are those of another run"):
        run([0.05, 0.05])


def test_several_worlds_cannot_be_measured() -> None:
    keys = [EpisodeKey(7, 3), EpisodeKey(7, 4)]
    loop = RecedingHorizon(CountingPlanner(), settings(), advance)
    with pytest.raises(UsageError, match=r"real seconds .* one world, not for 2"):
        loop.run(SimulatedPlant(RecordingWorld(), keys, 10), keys)


def test_the_slowest_of_the_last_replans_is_expected() -> None:
    delays = Delays(settings(), measured=True)
    assert delays.expected() == 0
    delays.note(3.0)
    assert delays.expected() == 0.4  # the first plan is slow: no longer than the executed actions
    delays.note(0.1)
    assert delays.expected() == 0.1
    delays.note(0.7)
    for _ in range(RECENT - 1):
        delays.note(0.2)
    assert delays.expected() == 0.7
    delays.note(0.2)
    assert delays.expected() == 0.2


def test_a_fixed_latency_is_what_every_plan_takes_and_the_least_on_the_wall_clock() -> None:
    delays = Delays(settings(latency=0.3), measured=False)
    assert delays.note(9.0) == 0.3
    assert delays.expected() == 0.3
    wall = Delays(settings(latency=0.3), measured=True)
    assert wall.note(0.1) == 0.1
    assert wall.expected() == 0.3
    wall.note(0.5)
    assert wall.expected() == 0.5


class Thrifty(CountingPlanner):
    """Writes every plan into the same memory."""

    def plan(self, context: PlanContext) -> Plan:
        plan = super().plan(context)
        if len(self.contexts) == 1:
            chunks = tuple(chunk.clone() for chunk in plan.chunks)
            self.plan_before = attrs.evolve(plan, chunks=chunks)
        for mine, fresh in zip(self.plan_before.chunks, plan.chunks, strict=True):
            mine.copy_(fresh)
        self.plan_before.flat.copy_(plan.flat)
        return self.plan_before


def test_a_planner_may_write_its_next_plan_where_this_one_was() -> None:
    _, fresh, planner = run(None, latency=0.2)
    _, reused, thrifty = run(None, Thrifty(), latency=0.2)
    assert reused == fresh == [100.0 * plan + k for plan in range(4) for k in range(4)]
    for mine, theirs in zip(planner.contexts[1:], thrifty.contexts[1:], strict=True):
        assert torch.equal(mine.previous, theirs.previous)
