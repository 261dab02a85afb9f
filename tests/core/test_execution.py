"""The closed loop: which action is applied at which step, and what each plan is made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.errors import SpecificationError, UsageError
from codi_core.execution import (
    ControlStep,
    LoopSettings,
    RecedingHorizon,
    Rollout,
    SimulatedPlant,
)
from codi_core.execution.devices import to_device
from codi_core.execution.endings import Endings
from codi_core.execution.history import History
from codi_core.planning import ChunkLayout, NoiseSource, Plan, PlanContext, Planner
from codi_core.tasks import Environment, EpisodeKey, Step

HORIZON = 8
KEYS = [EpisodeKey(7, 3), EpisodeKey(7, 4)]


class RecordingWorld(Environment):
    """Its state counts control steps; it keeps the actions that it was given."""

    def __init__(self, fail_at: Sequence[int] = ()) -> None:
        self.fail_at = fail_at
        self.actions: list[tuple[float, float]] = []

    def reset(self, episodes: Sequence[EpisodeKey]) -> Step:
        self.worlds, self.clock = len(episodes), 0
        self.buffer = np.zeros(self.worlds)
        return self.look()

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        self.actions.append((float(actions[0][0, 0]), float(actions[1][1, 0])))
        self.clock += 1
        return self.look()

    def look(self) -> Step:
        time = torch.full((self.worlds,), float(self.clock))
        self.buffer[:] = self.clock  # a live view, as simulators hand out
        events: dict[str, Any] = {"clock": self.buffer}
        if self.fail_at:
            events["failed"] = np.array([self.clock >= at for at in self.fail_at])
        return Step(self.clock / 10, time, {"clock": time[:, None]}, events)


class CountingPlanner(Planner):
    """Action k of plan r is 100 r + k for agent 0, and its negative for agent 1."""

    layout = ChunkLayout(
        ((0,), (1,)), (slice(0, HORIZON), slice(HORIZON, 2 * HORIZON)), (1, 1), HORIZON
    )

    def __init__(self) -> None:
        self.contexts: list[PlanContext] = []

    def plan(self, context: PlanContext) -> Plan:
        value = 100.0 * len(self.contexts) + torch.arange(float(HORIZON))
        self.contexts.append(context)
        chunk = value.expand(context.worlds, HORIZON)[..., None]
        sizes = torch.tensor([1.0, 3.0])[: context.worlds]
        context.diagnostics.record("effective_sample_size", sizes)
        context.diagnostics.count("rollouts", 5)
        flat = torch.cat((chunk, -chunk), 1).flatten(1)
        return Plan((chunk, -chunk), flat, context.diagnostics)


def advance(state: Tensor, chunks: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Add to the state 1 000 a call, and the committed actions of agent 0."""
    after = state + 1000 + chunks[0].sum((1, 2))
    return after, {"clock": after[:, None]}


def run(
    steps: int, execute: int, world: RecordingWorld | None = None, **settings: Any
) -> tuple[Rollout, RecordingWorld, CountingPlanner]:
    world, planner = world or RecordingWorld(), CountingPlanner()
    loop = RecedingHorizon(
        planner,
        LoopSettings(
            rate_hz=10, horizon=HORIZON, execute=execute, max_seconds=steps / 10, **settings
        ),
        advance,
    )
    rollout = loop.run(SimulatedPlant(world, KEYS, 10), KEYS)
    return rollout, world, planner


def test_each_plan_executes_its_first_actions() -> None:
    rollout, world, planner = run(10, execute=4)
    applied = [first for first, _ in world.actions]
    assert applied == [0, 1, 2, 3, 100, 101, 102, 103, 200, 201]
    assert [second for _, second in world.actions] == [-value for value in applied]
    assert [float(context.state[0]) for context in planner.contexts] == [0, 4, 8]
    assert [context.committed for context in planner.contexts] == [0, 4, 4]
    assert [replan.time for replan in rollout.replans] == [0.0, 0.4, 0.8]


def test_a_plan_carries_the_previous_one() -> None:
    _, _, planner = run(8, execute=4)
    first, second = planner.contexts
    assert first.previous is None
    assert second.previous is not None
    assert second.previous[0, :HORIZON].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_latency_shifts_what_is_applied_and_what_is_planned_from() -> None:
    # 0.15 s at 10 Hz are two control steps, rounded up. The first plan starts the clock. Each
    # plan is begun two steps before the three actions of the one before are done.
    rollout, world, planner = run(9, execute=3, latency=0.15)
    applied = [first for first, _ in world.actions]
    assert applied == [0, 1, 2, 100, 101, 102, 200, 201, 202]
    assert [replan.time for replan in rollout.replans] == [0.0, 0.1, 0.4, 0.7]
    assert [context.committed for context in planner.contexts] == [0, 3, 3, 3]
    # The second plan starts from the state at step 1 advanced by actions 1 and 2 of the first.
    assert float(planner.contexts[1].state[0]) == 1 + 1000 + 1 + 2
    assert float(planner.contexts[2].state[0]) == 4 + 1000 + 101 + 102
    observed = planner.contexts[1].observation["clock"]
    assert observed.shape == (2, 1, 1)
    assert float(observed[0, -1, 0]) == 1004


def test_a_planner_as_slow_as_the_executed_actions_is_always_busy() -> None:
    # 0.3 s are three control steps, not rounded up. The second plan is begun as the first arrives.
    rollout, world, planner = run(9, execute=3, latency=0.3)
    assert [first for first, _ in world.actions] == [0, 1, 2, 100, 101, 102, 200, 201, 202]
    assert [replan.time for replan in rollout.replans] == [0.0, 0.0, 0.3, 0.6]
    assert float(planner.contexts[1].state[0]) == 1000 + 0 + 1 + 2
    assert float(planner.contexts[2].state[0]) == 3 + 1000 + 100 + 101 + 102


def test_a_planner_slower_than_that_has_more_actions_executed() -> None:
    rollout, world, planner = run(9, execute=3, latency=0.4)
    assert [first for first, _ in world.actions] == [0, 1, 2, 3, 100, 101, 102, 103, 200]
    assert [replan.time for replan in rollout.replans] == [0.0, 0.0, 0.4, 0.8]
    assert [context.committed for context in planner.contexts] == [0, 4, 4, 4]


def test_history_is_padded_at_the_start_and_stacked_oldest_first() -> None:
    _, _, planner = run(8, execute=2, history=3)
    seen = [context.observation["clock"][0, :, 0].tolist() for context in planner.contexts]
    assert seen == [[0, 0, 0], [0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert planner.contexts[0].observation["clock"].shape == (2, 3, 1)


def test_history_holds_the_foreseen_observations_under_latency() -> None:
    _, _, planner = run(8, execute=5, latency=0.2, history=2)
    # Advanced step by step: 3 → 3 + 1000 + 3 → that + 1000 + 4.
    assert planner.contexts[1].observation["clock"][0, :, 0].tolist() == [1006, 2010]
    assert float(planner.contexts[1].state[0]) == 2010


def test_actions_before_the_present_are_dropped() -> None:
    _, world, _ = run(6, execute=3, offset=-1)
    assert [first for first, _ in world.actions] == [1, 2, 3, 101, 102, 103]


def test_events_are_stacked_copies() -> None:
    rollout, _, _ = run(5, execute=4)
    assert rollout.events["clock"].shape == (6, 2)
    assert rollout.events["clock"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_loop_ends_when_all_worlds_have_failed() -> None:
    rollout, world, _ = run(50, execute=4, world=RecordingWorld(fail_at=(2, 5)))
    assert len(world.actions) == 5
    assert rollout.events["failed"].tolist()[-1] == [True, True]


def test_noise_belongs_to_episode_and_replan() -> None:
    _, _, planner = run(8, execute=4)
    for replan, context in enumerate(planner.contexts):
        expected = NoiseSource([(7, 3, replan), (7, 4, replan)]).normal(4)
        assert torch.equal(context.noise.normal(4), expected)


def test_replans_record_measurements() -> None:
    rollout, _, _ = run(4, execute=4)
    (replan,) = rollout.replans
    assert replan.series == {"effective_sample_size": (2.0,)}
    assert replan.counts == {"rollouts": 5}
    assert replan.seconds > 0


def test_each_step_is_reported() -> None:
    seen: list[tuple[int, float]] = []
    world = RecordingWorld()
    loop = RecedingHorizon(
        CountingPlanner(), LoopSettings(rate_hz=10, horizon=HORIZON, execute=4, max_seconds=0.3)
    )
    plant = SimulatedPlant(world, KEYS, 10)
    loop.run(plant, KEYS, lambda step: seen.append((step.tick, step.after.time)))
    assert seen == [(1, 0.1), (2, 0.2), (3, 0.3)]


def settings(**changes: Any) -> LoopSettings:
    given = {"rate_hz": 10.0, "horizon": 8, "execute": 4, "max_seconds": 1.0, **changes}
    return LoopSettings(**given)


def test_settings_that_take_more_actions_than_a_plan_has_are_refused() -> None:
    with pytest.raises(UsageError, match=r"8 usable actions, but --execute 6 .* take 9"):
        RecedingHorizon(CountingPlanner(), settings(execute=6, latency=0.85), advance)
    RecedingHorizon(CountingPlanner(), settings(execute=6, latency=0.8), advance)
    with pytest.raises(UsageError, match="7 usable actions"):
        RecedingHorizon(CountingPlanner(), settings(execute=8, offset=-1))


def test_latency_needs_a_task_that_foresees() -> None:
    with pytest.raises(UsageError, match="--latency must be 0"):
        RecedingHorizon(CountingPlanner(), settings(latency=0.1))


def test_chunks_that_start_in_the_future_are_refused() -> None:
    with pytest.raises(SpecificationError, match="action offset"):
        RecedingHorizon(CountingPlanner(), settings(offset=1))


def test_the_plant_refuses_the_past_and_gaps() -> None:
    plant = SimulatedPlant(RecordingWorld(), KEYS, 10)
    chunk = torch.zeros(2, 3, 1)
    assert plant.command((chunk, chunk), 0.0) == 0.0
    assert plant.observe(0.2).time == pytest.approx(0.2)
    assert plant.observe(0.1).time == pytest.approx(0.2)  # a time that has passed: at once
    assert plant.command((chunk, chunk), 0.1) == pytest.approx(0.1)  # so late
    with pytest.raises(SpecificationError, match=r"no commanded chunk .* 0\.300 s"):
        plant.observe(0.4)


def test_a_chunk_ends_where_the_next_one_starts() -> None:
    world = RecordingWorld()
    plant = SimulatedPlant(world, KEYS, 10)
    for value, start in ((1.0, 0.0), (2.0, 0.1), (3.0, 0.3)):
        chunk = torch.full((2, 4, 1), value)
        assert plant.command((chunk, chunk), start) == 0.0
    plant.observe(0.5)
    assert [first for first, _ in world.actions] == [1, 2, 2, 3, 3]


def test_a_history_copy_is_independent() -> None:
    history = History(2)
    history.push({"x": torch.zeros(1, 1)})
    twin = History.of(history.entries)
    twin.push({"x": torch.ones(1, 1)})
    assert history.stacked()["x"].tolist() == [[[0.0], [0.0]]]
    assert twin.stacked()["x"].tolist() == [[[0.0], [1.0]]]


@attrs.frozen
class TypedState:
    """A state with a nested structure."""

    position: Tensor
    _hidden: tuple[Tensor, ...]
    name: str = "cube"


def test_states_move_between_devices() -> None:
    state = TypedState(torch.zeros(2), (torch.zeros(1), torch.zeros(1)))
    moved = to_device({"state": state}, "meta")["state"]
    assert moved.position.device.type == "meta"
    assert [part.device.type for part in moved._hidden] == ["meta", "meta"]
    assert moved.name == "cube"


def rows(**marks: list[list[int]]) -> list[dict[str, np.ndarray]]:
    """One row of events an instant, from flags (T, B)."""
    count = len(next(iter(marks.values())))
    return [
        {name: np.array(flags[row], dtype=bool) for name, flags in marks.items()}
        for row in range(count)
    ]


def ended(endings: Endings, marks: list[dict[str, np.ndarray]]) -> list[bool]:
    return [endings.note(row) for row in marks]


def test_an_episode_ends_with_its_failure() -> None:
    endings = Endings()
    marks = rows(failed=[[0, 0], [1, 0], [1, 0], [1, 1]])
    assert ended(endings, marks) == [False, False, False, True]
    assert endings.lengths(2).tolist() == [2, 4]


def test_a_success_ends_an_episode_only_if_asked_and_after_the_asked_time() -> None:
    marks = rows(succeeded=[[0, 0], [1, 0], [0, 0], [1, 1], [1, 1]])
    endings = Endings()
    assert not any(ended(endings, marks))
    assert endings.lengths(2).tolist() == [5, 5]
    endings = Endings(after_success=1)
    assert ended(endings, marks) == [False, False, False, False, True]
    assert endings.lengths(2).tolist() == [3, 5]
    endings = Endings(after_success=0)
    assert ended(endings, marks[:4])[-1]
    assert endings.lengths(2).tolist() == [2, 4]


def test_a_failure_after_the_success_ends_the_episode_at_once() -> None:
    endings = Endings(after_success=9)
    ended(endings, rows(succeeded=[[0], [1], [1], [1]], failed=[[0], [0], [1], [1]]))
    assert endings.lengths(1).tolist() == [3]


def test_worlds_without_marks_go_on_to_the_time_limit() -> None:
    endings = Endings(after_success=1)
    assert ended(endings, [{"x": np.zeros(2)}] * 3) == [False] * 3
    assert endings.lengths(2).tolist() == [3, 3]


def test_the_loop_stops_when_all_episodes_are_over() -> None:
    class Winning(RecordingWorld):
        def step(self, actions: tuple[Tensor, ...]) -> Step:
            step = super().step(actions)
            mark = np.full(len(KEYS), step.time >= 0.3 - 1e-9)
            return attrs.evolve(step, events={**step.events, "succeeded": mark})

    rollout, world, _ = run(20, execute=4, world=Winning(), after_success=0.2)
    assert len(world.actions) == 5
    assert rollout.lengths.tolist() == [6] * len(KEYS)
    rollout, world, _ = run(20, execute=4, world=Winning())
    assert len(world.actions) == 20
    assert rollout.lengths.tolist() == [21] * len(KEYS)


@attrs.frozen
class Clock:
    """A state that can be taken apart."""

    time: Tensor

    def of_worlds(self, rows: Tensor) -> Clock:
        return Clock(self.time[rows])


class FirstEnds(RecordingWorld):
    """World 0 succeeds at 0.3 s, the other one never."""

    def look(self) -> Step:
        step = super().look()
        marks = np.array([self.clock >= 3, False])
        return attrs.evolve(
            step, state=Clock(step.state), events={**step.events, "succeeded": marks}
        )


def test_worlds_whose_episodes_are_over_are_planned_for_no_more() -> None:
    rollout, world, planner = run(12, execute=4, world=FirstEnds(), after_success=0.0)
    assert rollout.lengths.tolist() == [4, 13]
    assert [context.worlds for context in planner.contexts] == [2, 1, 1]
    assert [replan.worlds for replan in rollout.replans] == [2, 1, 1]
    alone = planner.contexts[1]
    assert alone.state.time.tolist() == [4.0]
    assert alone.observation["clock"].tolist() == [[[4.0]]]
    expected = NoiseSource([(KEYS[1].seed, KEYS[1].episode, 1)]).normal(3)
    torch.testing.assert_close(alone.noise.normal(3), expected)
    assert planner.contexts[2].previous is not None
    assert planner.contexts[2].previous[:, :HORIZON].tolist() == [
        [100.0 + k for k in range(HORIZON)]
    ]
    # World 0 repeats its last plan; world 1 follows the new ones.
    assert [first for first, _ in world.actions] == [0, 1, 2, 3] * 3
    assert [second for _, second in world.actions][4:6] == [-100, -101]


def test_without_an_end_after_success_all_worlds_are_planned_for() -> None:
    _, _, planner = run(12, execute=4, world=FirstEnds())
    assert [context.worlds for context in planner.contexts] == [2, 2, 2]


class Thrifty(RecordingWorld):
    """Writes each step's state and observation into the same memory; clips actions in place."""

    def look(self) -> Step:
        step = super().look()
        if self.clock == 0:
            self.state, self.seen = step.state.clone(), step.observation["clock"].clone()
        self.state.copy_(step.state)
        self.seen.copy_(step.observation["clock"])
        return attrs.evolve(step, state=self.state, observation={"clock": self.seen})

    def step(self, actions: tuple[Tensor, ...]) -> Step:
        step = super().step(actions)
        for action in actions:
            action.zero_()
        return step


def test_an_environment_may_write_the_next_step_where_this_one_was() -> None:
    steps: list[ControlStep] = []
    planner = CountingPlanner()
    planner.layout = attrs.evolve(planner.layout, history=3)
    settings = LoopSettings(rate_hz=10, horizon=HORIZON, execute=2, max_seconds=0.5, history=3)
    plant = SimulatedPlant(Thrifty(), KEYS, 10)
    RecedingHorizon(planner, settings).run(plant, KEYS, steps.append)
    assert [float(step.before.state[0]) for step in steps] == [0, 1, 2, 3, 4]
    assert [float(step.after.observation["clock"][0]) for step in steps] == [1, 2, 3, 4, 5]
    histories = [context.observation["clock"][0, :, 0].tolist() for context in planner.contexts]
    assert histories == [[0, 0, 0], [0, 1, 2], [2, 3, 4]]
    assert [float(step.actions[0][0, 0]) for step in steps] == [0, 1, 100, 101, 200]
