"""Ticks at the control rate: observes, has plans made, and commands what has arrived."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import wait

import numpy as np
import torch
from torch import Tensor

from codi_core.errors import PlanWorkerError, SpecificationError, UsageError
from codi_core.execution.delays import Delays
from codi_core.execution.devices import copied_chunks
from codi_core.execution.episode_log import EpisodeLog
from codi_core.execution.flight import Flight
from codi_core.execution.history import History
from codi_core.execution.joint_plan import JointPlan
from codi_core.execution.plan_maker import reason_of
from codi_core.execution.plan_request import PlanReply, PlanRequest
from codi_core.execution.plan_worker import PlanWorker
from codi_core.execution.rollout import ControlStep, Observer, Rollout
from codi_core.execution.schedule import Schedule, ScheduledChunks
from codi_core.execution.settings import LoopSettings
from codi_core.execution.world_selection import is_divisible
from codi_core.tasks.environment import EpisodeKey, Step
from codi_core.tasks.plant import Plant


class Controller:
    """Runs the episodes of one plant once.

    On a virtual clock it waits for each plan as soon as that is begun, and the delay says at which
    control step the plan arrives. On the wall clock it never waits beyond the next control step,
    and a plan arrives when it arrives.

    Args:
        settings: how the loop runs.
        plant: B worlds at the start of their episodes.
        episodes: their keys, from which the planning noise derives.
        worker: makes the plans.
        delays: how long they take.
        proven: whether the worker has made plans before. If so, a single world that can't be
            planned for fails; if not, its error is raised, as the user's mistake.
        observer: told about each control step.
    """

    def __init__(
        self,
        settings: LoopSettings,
        plant: Plant,
        episodes: Sequence[EpisodeKey],
        worker: PlanWorker,
        delays: Delays,
        proven: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self.settings, self.plant, self.episodes = settings, plant, episodes
        self.worker, self.delays, self.observer = worker, delays, observer
        self.proven = proven
        self.history = History(settings.history)
        self.log = EpisodeLog(len(episodes), settings.steps_after_success)
        self.schedule = Schedule()
        self.seen = 0  # the control step that is nearest to the latest observation
        self.now: Step
        self.current: JointPlan | None = None
        self.flight: Flight | None = None
        self.next_plan = 0

    def run(self) -> Rollout:
        """Run until the time limit, or until the episodes of all worlds are over."""
        self._note(self.plant.observe(0.0))
        self._begin_plan(0)  # agents at rest wait for their first plan
        self._receive(self.worker.patience)
        tick = 0
        while tick < self.settings.steps and self._ready(tick):
            tick = self._step(tick)
        return self.log.rollout()

    def _ready(self, tick: int) -> bool:
        """Do what is due at a control step; whether there are actions for it."""
        if self.log.over():
            return False
        if self.plant.stopped:
            self._give_up(f"{self.plant.name} was stopped")
            return False
        if self.flight is None and self.worker.broken is not None:
            self._failed(PlanWorkerError(self.worker.broken), self._worlds_to_plan()[0])
            return False
        virtual = self.plant.clock.virtual
        # On the wall clock a plan that is begun now comes too late for this control step.
        if self.flight is None and tick >= self.next_plan and (virtual or self._covers(tick)):
            self._begin_plan(tick)
        self._receive(self.worker.patience if virtual else 0.0)
        if not self.log.over() and not self._covers(tick):
            self._give_up(self._why_no_actions(tick))
        return not self.log.over()

    def _covers(self, tick: int) -> bool:
        """Whether there are actions for a control step."""
        return self.schedule.at(tick) is not None

    def _step(self, tick: int) -> int:
        """Let a control period pass; the number of the control step that has been reached."""
        entry, actions = self.schedule.at(tick), self.schedule.actions(tick)
        assert entry is not None
        assert actions is not None
        clock, before, after = self.plant.clock, self.now, tick + 1
        until = after / self.settings.rate_hz
        if not clock.virtual:
            self._receive(clock.pace * (until - clock.now()))
        step = self.plant.observe(until)
        self.seen = after
        if not clock.virtual:
            after = max(after, int(clock.now() * self.settings.rate_hz))
            after = min(after, self.settings.steps)
            self.seen = round(step.time * self.settings.rate_hz)
        self._note(step, after - tick)
        if self.observer is not None:
            self.observer(ControlStep(after, before, actions, entry.plans, self.now, entry))
        return after

    def _note(self, step: Step, rows: int = 1) -> None:
        self.now = self.log.note(step, rows)
        self.history.push(self.now.observation)

    def _begin_plan(self, tick: int) -> None:
        """Have a plan made from the latest observation."""
        worlds, rows = self._worlds_to_plan()
        current, number, expected = self.current, len(self.log.replans), self._expected_periods()
        # A plan starts no later than where the actions end; at its observation if nobody foresees.
        seen = self.seen if current is None else max(self.seen, current.start)
        foreseen = min(tick + expected, self.schedule.end) if self.worker.foresees else seen
        start = max(seen, foreseen)
        request = PlanRequest(
            keys=tuple((key.seed, key.episode, number) for key in self.episodes),
            observations=self.history.entries,
            state=self.now.state,
            ahead=self._actions_between(seen, start),
            worlds=rows,
            previous=None if current is None else current.plan.flat,
            committed=0 if current is None else start - current.start,
            deadline=None if current is None else self._deadline(tick, expected),
            device=self.settings.device,
        )
        began = time.perf_counter()
        future = self.worker.submit(request)
        self.flight = Flight(
            tick, self.now.time, start, worlds, future, began, self.plant.clock.pace
        )

    def _worlds_to_plan(self) -> tuple[Sequence[int], Tensor | None]:
        """The numbers of the worlds to plan for, and as a tensor if they are not all worlds."""
        unfinished = self.log.unfinished()
        if self.current is None or unfinished.all() or not is_divisible(self.now.state):
            return range(len(self.episodes)), None
        worlds = np.flatnonzero(unfinished)
        return worlds.tolist(), torch.from_numpy(worlds)

    def _actions_between(self, seen: int, start: int) -> tuple[Tensor, ...]:
        """The actions of the present plan from one control step up to another, (B, c, A_i)."""
        if self.current is None or start == seen:
            return ()
        steps = slice(seen - self.current.start, start - self.current.start)
        return tuple(chunk[:, steps] for chunk in self._usable(self.current))

    def _usable(self, joint: JointPlan) -> tuple[Tensor, ...]:
        usable = [chunk[:, -self.settings.offset :] for chunk in joint.plan.chunks]
        return copied_chunks(usable, "cpu")

    def _expected_periods(self) -> int:
        return self.settings.periods(self.delays.expected())

    def _deadline(self, tick: int, expected: int) -> float | None:
        """The ``time.monotonic()`` by which a plan is wanted that is begun at a control step.

        It may be late, but not so late that the E actions have passed that are executed of it, or
        that the actions before it have ended: rather have a plan of fewer steps.
        """
        if not self.delays.measured or self.delays.replayed:
            return None
        passed = tick + expected + self.settings.execute
        wanted = max(tick + 1, min(passed, self.schedule.end - 1))
        clock = self.plant.clock
        return time.monotonic() + clock.pace * (wanted / self.settings.rate_hz - clock.now())

    def _receive(self, patience: float) -> None:
        """Take in the plan that is being made, if it is there within ``patience`` [s]."""
        flight = self.flight
        if flight is None:
            return
        wait([flight.future], max(0.0, patience))
        if not flight.future.done():
            if flight.age >= self.worker.patience:
                self.flight = None
                error = f"{self.worker.name} has not answered for {flight.age:.2f} s"
                self._failed(PlanWorkerError(error), flight.worlds)
            return
        self.flight, seconds = None, flight.age
        try:
            reply = flight.future.result()
        except (Exception, SystemExit) as error:  # sys.exit() in another thread ends nothing
            self._failed(error, flight.worlds)
            return
        self._join(flight, reply, self.delays.note(seconds))

    def _join(self, flight: Flight, reply: PlanReply, delay: float) -> None:
        """Follow a plan from its start on, or from now on if that has passed."""
        self.proven = True
        self.log.fail(reply.failures)
        broken = list(reply.failures)
        if self.current is None:
            joint, arrival = JointPlan.first(reply.plan, broken), 0
        else:
            number = len(self.log.replans)
            joint = self.current.renewed(reply.plan, number, flight.worlds, broken, flight.start)
            arrival = flight.tick + self.settings.periods(delay)
        dropped = self._command(joint, arrival if self.plant.clock.virtual else 0)
        self.log.replans.append(flight.replan(reply, delay, dropped, self.settings.rate_hz))

    def _command(self, joint: JointPlan, arrival: int) -> int:
        """Command a plan at the earliest from a control step on; how many actions were dropped.

        -1 says that all of them had passed, or all of those before.
        """
        usable, rate = self._usable(joint), self.settings.rate_hz
        start, first = joint.start, max(joint.start, arrival, self.schedule.next_first)
        follows = self.current is not None
        while first < start + usable[0].shape[1] and not (follows and first > self.schedule.end):
            chunks = tuple(chunk[:, first - start :] for chunk in usable)
            late = self.plant.command(chunks, first / rate)
            if not late:
                self.schedule.add(ScheduledChunks(first, chunks, joint.numbers))
                self.current = joint
                taken_over = min(first + self.settings.execute, self.schedule.end)
                self.next_plan = max(first, taken_over - self._expected_periods())
                return first - start
            first += max(1, self.settings.periods(late))
        self.next_plan = first
        return -1

    def _failed(self, error: BaseException, worlds: Sequence[int]) -> None:
        """No plan: the episode of a single world fails, everything else is the user's mistake."""
        mistake = isinstance(error, (UsageError, SpecificationError))
        if mistake or not self.proven or len(worlds) > 1:
            raise error
        self.log.fail({world: reason_of(error) for world in worlds})

    def _give_up(self, reason: str) -> None:
        """Stop the plant, and end all episodes that go on."""
        self.plant.stop()
        self.log.fail_all(reason)

    def _why_no_actions(self, tick: int) -> str:
        at = f"no plan was left at {tick / self.settings.rate_hz:.2f} s: "
        if self.flight is not None:
            return (
                f"{at}{self.worker.name} has been planning for {self.flight.age:.2f} s, since "
                f"{self.flight.time:.2f} s"
            )
        latest = self.log.replans[-1]
        return f"{at}the latest one, begun at {latest.time:.2f} s, took {latest.delay:.2f} s"
