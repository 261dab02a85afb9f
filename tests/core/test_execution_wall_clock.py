"""The loop on the wall clock: nothing is late, nothing is out of order, and it ends cleanly."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from codi_core.errors import PlantError, UsageError
from codi_core.execution import InlineWorker, LoopSettings, PlanMaker, PlanWorker, RecedingHorizon
from codi_core.execution import controller as controller_module
from codi_core.execution import flight as flight_module
from codi_core.execution.plan_request import PlanReply, PlanRequest
from codi_core.tasks import EpisodeKey, Plant, WallClock
from tests.core.plants import (
    HORIZON,
    RATE,
    DutifulPlanner,
    JumpingPlant,
    LoggingPlant,
    SilentPlant,
    StalePlant,
    ThrowingPlant,
    advance,
    meant_for,
)

pytestmark = pytest.mark.alone

KEYS = [EpisodeKey(7, 3)]


def settings(**changes: Any) -> LoopSettings:
    given = {"rate_hz": RATE, "horizon": HORIZON, "execute": 4, "max_seconds": 0.6, **changes}
    return LoopSettings(**given)


def increasing(values: Sequence[float]) -> bool:
    return all(before < after for before, after in itertools.pairwise(values))


class FakeTime:
    """Seconds that pass when somebody waits, and plans that arrive meanwhile."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.arrivals: list[tuple[float, Future[PlanReply], PlanReply]] = []

    def show(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self._pass(self.now + seconds)

    def wait(self, futures: Sequence[Future[PlanReply]], timeout: float) -> None:
        until = self.now + timeout
        while not futures[0].done() and any(at <= until for at, _, _ in self.arrivals):
            self._pass(min(at for at, _, _ in self.arrivals))
        if not futures[0].done():
            self._pass(until)

    def _pass(self, until: float) -> None:
        for at, future, reply in [entry for entry in self.arrivals if entry[0] <= until]:
            future.set_result(reply)
            self.arrivals.remove((at, future, reply))
        self.now = until


class ScheduledWorker(PlanWorker):
    """Makes each plan at once, and hands it over when so many seconds have passed."""

    name = "the scheduled worker"

    def __init__(self, time: FakeTime, maker: PlanMaker, seconds: Sequence[float]) -> None:
        super().__init__()
        self.time, self.maker, self.seconds = time, maker, iter(seconds)
        self.foresees = maker.advance is not None

    def submit(self, request: PlanRequest) -> Future[PlanReply]:
        future: Future[PlanReply] = Future()
        at = self.time.now + next(self.seconds)
        self.time.arrivals.append((at, future, self.maker.make(request)))
        return future

    def restart_if_broken(self) -> None:
        pass


class Run:
    """One run in fake time at 10 Hz, and what came of it."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        seconds: Sequence[float],
        foresees: bool = True,
        observing: float = 0.0,
        **changes: Any,
    ) -> None:
        self.time = FakeTime()
        monkeypatch.setattr(controller_module, "wait", self.time.wait)
        fake = SimpleNamespace(monotonic=self.time.show, perf_counter=self.time.show)
        monkeypatch.setattr(controller_module, "time", fake)
        monkeypatch.setattr(flight_module, "time", fake)
        self.planner = DutifulPlanner()
        maker = PlanMaker(self.planner, advance if foresees else None)
        worker = ScheduledWorker(self.time, maker, seconds)
        self.plant = SlowPlant(self.time, observing)
        self.steps: list[tuple[int, float]] = []
        given = {"rate_hz": 10, "max_seconds": 2.0, **changes}
        self.rollout = RecedingHorizon(worker, settings(**given)).run(
            self.plant,
            KEYS,
            lambda step: self.steps.append((step.tick, float(step.actions[0][0, 0]))),
        )
        self.dropped = [replan.dropped for replan in self.rollout.replans]
        self.starts = [round(10 * start) for start, _ in self.plant.followed]


class SlowPlant(LoggingPlant):
    """In fake time, each observation takes a while."""

    def __init__(self, time: FakeTime, observing: float) -> None:
        super().__init__(rate=10.0, clock=WallClock(time.show, time.sleep))
        self.time, self.observing = time, observing

    def _observe(self, until: float) -> Any:
        step = super()._observe(until)
        self.time.now += self.observing
        return step


def test_plans_of_350_ms_at_10_hz_are_neither_late_nor_blind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, [0.35] * 9, latency=0.2)
    # 0.35 s are four control steps, rounded up: with the first plan they become known.
    assert run.starts == [0, 4, 8, 12, 16, 20]
    assert meant_for(run.plant.followed, 10) == [0] * 6
    assert run.dropped == [0] * 6
    assert run.rollout.failures == (None,)
    assert run.rollout.missed == 0
    assert increasing(run.plant.observed[1:])
    # Each step executes the action that was meant for it, and is observed once.
    assert run.steps == [(tick + 1, tick) for tick in range(20)]
    assert [replan.delay for replan in run.rollout.replans] == pytest.approx([0.35] * 6)


def test_actions_whose_time_has_passed_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [0.05, 0.05, 0.33, *[0.05] * 9])
    # The third plan is begun at 0.7 s for 0.8 s, and arrives at 1.03 s: it joins at 1.1 s.
    assert run.starts[:3] == [0, 4, 11]
    assert run.plant.followed[2][1][0] == 11
    assert run.dropped[:4] == [0, 0, 3, 0]
    assert run.steps == [(tick + 1, tick) for tick in range(20)]
    # The next plan expects a delay as long.
    assert run.rollout.replans[3].time == pytest.approx(1.1)
    assert run.rollout.replans[3].start == pytest.approx(1.5)


def test_a_plan_that_nobody_foresees_begins_at_its_observation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, [0.05, *[0.15] * 9], foresees=False)
    assert run.starts == [0, 5, 9, 13, 17]
    assert run.dropped == [0, 2, 2, 2, 2]
    assert meant_for(run.plant.followed, 10) == [0] * 5
    assert run.steps == [(tick + 1, tick) for tick in range(20)]
    assert all(context.committed > 0 for context in run.planner.contexts[1:])


def test_without_a_plan_the_plant_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [0.05, 9.0], max_seconds=9.0)
    assert [tick for tick, _ in run.steps] == list(range(1, HORIZON + 1))
    assert run.plant.rests == 1
    (reason,) = run.rollout.failures
    assert reason is not None
    assert reason.startswith("no plan was left at 4.00 s: the scheduled worker has been planning")
    assert reason.endswith("for 3.70 s, since 0.30 s")
    assert run.rollout.lengths.tolist() == [HORIZON + 1]


def test_a_plan_is_wanted_before_its_executed_actions_have_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, [0.25] * 12)
    began = 1000.25  # the clock starts when the first plan has arrived
    deadlines = [context.deadline for context in run.planner.contexts]
    assert [replan.start for replan in run.rollout.replans[:4]] == pytest.approx([0, 0.4, 0.8, 1.2])
    assert deadlines[0] is None
    assert deadlines[1:4] == pytest.approx([began + 0.8, began + 1.2, began + 1.6])


def test_a_plan_is_wanted_before_the_actions_end(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [0.25] * 12, execute=39, max_seconds=4.0)
    assert run.planner.contexts[1].deadline == pytest.approx(1000.25 + 3.9)


def test_missed_steps_are_counted_and_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, [0.05] * 12, observing=0.25, max_seconds=1.0)
    # Asked for step 1, the plant answers in step 3, and so on.
    assert [tick for tick, _ in run.steps] == [3, 6, 9, 10]
    assert run.rollout.missed == 6
    assert run.rollout.events["tick"][:, 0].tolist() == [0, 1, 1, 1, 4, 4, 4, 7, 7, 7, 10]


@pytest.fixture
def slow() -> DutifulPlanner:
    return DutifulPlanner(lambda number: time.sleep(0.03))


def test_a_planner_beside_the_controller_keeps_up(slow: DutifulPlanner) -> None:
    plant = LoggingPlant()
    told: list[int] = []
    loop = RecedingHorizon(slow, settings(), advance)
    rollout = loop.run(plant, KEYS, lambda step: told.append(step.tick))
    assert rollout.failures == (None,)
    assert len(plant.followed) == len([r for r in rollout.replans if r.dropped >= 0]) >= 3
    assert increasing([start for start, _ in plant.followed])
    assert meant_for(plant.followed) == [0] * len(plant.followed)
    assert plant.rests == 1
    assert increasing(told)
    assert told[-1] == 30
    assert rollout.lengths.tolist() == [31]
    assert len(plant.observed) == 31 - rollout.missed
    assert all(replan.delay >= 0.03 for replan in rollout.replans)


def test_an_inline_planner_is_refused() -> None:
    loop = RecedingHorizon(InlineWorker(DutifulPlanner()), settings())
    with pytest.raises(UsageError, match="LoggingPlant runs on the wall clock"):
        loop.run(LoggingPlant(), KEYS)


def run_badly(plant: LoggingPlant) -> str:
    """The error that ends the run; nothing was commanded twice, out of order, or after the stop."""
    loop = RecedingHorizon(DutifulPlanner(), settings(), advance)
    with pytest.raises(PlantError) as caught:
        loop.run(plant, KEYS)
    assert increasing([start for start, _ in plant.followed])
    assert plant.rests == 1
    assert plant.stopped
    return str(caught.value)


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (lambda: SilentPlant(4), "SilentPlant has not answered for 0.1 s"),
        (lambda: StalePlant(), "StalePlant observed at 0.000 s, but its clock shows"),
        (lambda: ThrowingPlant(observations=3), "ThrowingPlant failed: OSError: the cable"),
        (lambda: ThrowingPlant(commands=1), "ThrowingPlant failed: OSError: the cable"),
        (lambda: JumpingPlant(-0.5), "the clock of JumpingPlant went back, from 0."),
        (lambda: JumpingPlant(10.0), "JumpingPlant observed at 0.1"),
    ],
    ids=["silent", "stale", "throwing", "throwing when commanded", "jumping back", "jumping"],
)
def test_a_bad_plant_ends_the_run_with_its_name(plant: Any, message: str) -> None:
    assert message in run_badly(plant())


def test_a_clock_that_jumps_ahead_leaves_no_plan() -> None:
    plant = JumpingPlant(0.9)
    rollout = RecedingHorizon(DutifulPlanner(), settings(max_seconds=60), advance).run(plant, KEYS)
    (reason,) = rollout.failures
    assert reason is not None
    assert reason.startswith("no plan was left at 1.")
    assert plant.rests == 1
    assert increasing([start for start, _ in plant.followed])


def test_a_plant_that_stops_by_itself_ends_the_episode() -> None:
    plant = LoggingPlant()
    timer = threading.Timer(0.2, plant.stop)
    timer.start()
    rollout = RecedingHorizon(DutifulPlanner(), settings(max_seconds=30), advance).run(plant, KEYS)
    assert rollout.failures == ("LoggingPlant was stopped",)
    assert plant.rests == 1


def test_an_author_may_stop_the_plant_from_within() -> None:
    class Careful(LoggingPlant):
        def _observe(self, until: float) -> Any:
            step = super()._observe(until)
            if step.time > 0.1:
                self.stop()
            return step

    plant = Careful()
    rollout = RecedingHorizon(DutifulPlanner(), settings(max_seconds=30), advance).run(plant, KEYS)
    assert rollout.failures == ("Careful was stopped",)
    assert plant.rests == 1


def test_an_episode_waits_for_the_last_plan_of_the_one_before() -> None:
    planning = threading.Lock()

    def pause(number: int) -> None:
        assert planning.acquire(blocking=False), "two plans at a time"
        time.sleep(0.1)
        planning.release()

    loop = RecedingHorizon(DutifulPlanner(pause), settings(max_seconds=0.3), advance)
    for _ in range(3):
        assert "two plans" not in str(loop.run(LoggingPlant(), KEYS).failures)


def test_a_planner_that_raises_ends_the_episode_once_it_has_worked() -> None:
    def pause(number: int) -> None:
        if number == 2:
            raise ValueError("not that state")

    plant = LoggingPlant()
    rollout = RecedingHorizon(DutifulPlanner(pause), settings(), advance).run(plant, KEYS)
    assert rollout.failures == ("ValueError: not that state",)
    assert len(plant.followed) == 2
    assert plant.rests == 1


def test_an_error_in_the_first_plan_is_the_users_mistake() -> None:
    def pause(number: int) -> None:
        raise ValueError("not that state")

    plant = LoggingPlant()
    with pytest.raises(ValueError, match="not that state"):
        RecedingHorizon(DutifulPlanner(pause), settings(), advance).run(plant, KEYS)
    assert plant.followed == []
    assert plant.rests == 1


def test_a_plant_stops_whatever_ends_the_run() -> None:
    plant: Plant = LoggingPlant()

    def interrupt(step: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RecedingHorizon(DutifulPlanner(), settings(), advance).run(plant, KEYS, interrupt)
    assert plant.stopped
