"""Plan workers: the same plans from all of them, and children that die, hang, or fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from codi_core.errors import LocalityError, PlanWorkerError
from codi_core.execution import (
    LoopSettings,
    PlanWorker,
    ProcessWorker,
    RecedingHorizon,
    SimulatedPlant,
    ThreadWorker,
)
from codi_core.execution.messages import packed, packed_error, unpacked
from codi_core.execution.plan_request import PlanRequest
from codi_core.tasks import EpisodeKey
from codi_core.tasks.call_thread import CallThread
from tests.core.plants import (
    HORIZON,
    RATE,
    DutifulPlanner,
    LoggingPlant,
    advance,
    dutiful,
    failing_at_home,
    hanging,
    meant_for,
    refusing,
)
from tests.core.test_execution import RecordingWorld

KEYS = [EpisodeKey(7, 3)]
REQUEST = PlanRequest(
    keys=((7, 3, 0),), observations=({"tick": torch.zeros(1, 1)},), state=torch.zeros(1)
)


def settings(**changes: Any) -> LoopSettings:
    given = {"rate_hz": RATE, "horizon": HORIZON, "execute": 4, "max_seconds": 0.4, **changes}
    return LoopSettings(**given)


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessWorker]:
    """One process for the tests that leave it alive."""
    with ProcessWorker(dutiful) as worker:
        yield worker


def alive(pid: int | None) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


class OneWorld(RecordingWorld):
    """Keeps the first agent's actions."""

    def step(self, actions: Any) -> Any:
        self.actions.append((float(actions[0][0, 0]), 0.0))
        self.clock += 1
        return self.look()


def applied(worker: PlanWorker | DutifulPlanner) -> list[float]:
    world = OneWorld()
    given = settings(rate_hz=10, max_seconds=2.0, latency=0.2)
    own = None if isinstance(worker, PlanWorker) else advance
    RecedingHorizon(worker, given, own).run(SimulatedPlant(world, KEYS, 10), KEYS)
    return [first for first, _ in world.actions]


def test_on_a_virtual_clock_all_workers_do_the_same(process: ProcessWorker) -> None:
    inline = applied(DutifulPlanner())
    assert inline == list(range(20))
    with ThreadWorker(DutifulPlanner(), advance) as thread:
        assert applied(thread) == inline
    assert applied(process) == inline


def test_a_process_plans_for_a_plant_on_the_wall_clock(process: ProcessWorker) -> None:
    plant = LoggingPlant()
    rollout = RecedingHorizon(process, settings()).run(plant, KEYS)
    assert rollout.failures == (None,)
    assert len(plant.followed) >= 3
    assert meant_for(plant.followed) == [0] * len(plant.followed)
    assert all(replan.delay > replan.seconds > 0 for replan in rollout.replans)


def test_a_process_has_a_name_and_knows_what_it_can(process: ProcessWorker) -> None:
    assert process.name == f"the plan process of DutifulPlanner (pid {process.pid})"
    assert process.foresees
    assert process.submit(REQUEST).result(10).plan.flat.tolist() == [list(range(HORIZON))]


def test_a_process_ends_when_it_is_closed() -> None:
    with ProcessWorker(dutiful) as worker:
        pid = worker.pid
        assert alive(pid)
    assert not alive(pid)


@pytest.mark.slow
def test_a_process_that_dies_stops_the_plant_and_is_started_anew() -> None:
    with ProcessWorker(dutiful) as worker:
        loop = RecedingHorizon(worker, settings(max_seconds=30.0))
        first, plant = worker.pid, LoggingPlant()
        assert first is not None
        threading.Timer(0.3, os.kill, (first, signal.SIGKILL)).start()
        rollout = loop.run(plant, KEYS)
        message = f"the plan process of DutifulPlanner (pid {first}) died (exit code -9)"
        assert rollout.failures == (message,)
        assert plant.rests == 1
        assert len(plant.followed) >= 2
        again = RecedingHorizon(worker, settings()).run(LoggingPlant(), KEYS)
        assert again.failures == (None,)
        assert worker.pid != first


def test_a_process_that_dies_between_two_plans_is_noticed_too() -> None:
    with ProcessWorker(dutiful) as worker:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        assert wait_until(lambda: worker.broken is not None)
        assert "died (exit code -9)" in str(worker.broken)
        worker.restart_if_broken()
        assert worker.broken is None
        assert worker.submit(REQUEST).result(10).plan.flat.shape == (1, HORIZON)


@pytest.mark.slow
def test_a_process_that_hangs_leaves_no_plan_and_is_started_anew() -> None:
    with ProcessWorker(hanging, patience=1.0) as worker:
        first, plant = worker.pid, LoggingPlant()
        rollout = RecedingHorizon(worker, settings(max_seconds=30.0)).run(plant, KEYS)
        (reason,) = rollout.failures
        assert reason is not None
        assert reason.startswith("no plan was left at 0.8")
        assert f"s: the plan process of Hanging (pid {first}) has been planning for" in reason
        assert plant.rests == 1
        assert len(plant.followed) == 1
        worker.restart_if_broken()
        assert not alive(first)
        assert worker.submit(REQUEST).result(10).plan.flat.shape == (1, HORIZON)


def test_a_worker_that_exceeds_the_patience_is_named() -> None:
    planner = DutifulPlanner(lambda number: time.sleep(0.5))
    with ThreadWorker(planner, advance, patience=0.1) as worker:
        loop = RecedingHorizon(worker, settings())
        with pytest.raises(PlanWorkerError, match="the plan thread of DutifulPlanner has not ans"):
            loop.run(LoggingPlant(), KEYS)
        with pytest.raises(PlanWorkerError, match="still makes a plan of an earlier episode"):
            loop.run(LoggingPlant(), KEYS)


def test_a_planner_that_leaves_fails_the_episode_and_not_the_program() -> None:
    def leave(number: int) -> None:
        if number:
            raise SystemExit(0)

    with ThreadWorker(DutifulPlanner(leave), advance) as worker:
        rollout = RecedingHorizon(worker, settings()).run(LoggingPlant(), KEYS)
    assert rollout.failures == ("SystemExit: 0",)


def test_what_planning_raises_in_a_process_arrives_with_its_trace() -> None:
    with ProcessWorker(refusing) as worker:
        worker.submit(REQUEST).result(10)
        with pytest.raises(ValueError, match="not that state") as caught:
            worker.submit(REQUEST).result(10)
        (note,) = caught.value.__notes__
        assert note.startswith(f"in {worker.name}:\nTraceback")
        assert "in plan" in note


def test_a_planner_that_cannot_be_made_in_a_process_is_told() -> None:
    with pytest.raises(FileNotFoundError, match="there is no such checkpoint"):
        ProcessWorker(failing_at_home)
    with pytest.raises(PlanWorkerError, match="can't be sent to another process"):
        ProcessWorker(lambda: dutiful())


PARENT = """
import sys, time
from codi_core.execution import ProcessWorker
from tests.core.plants import hanging
from tests.core.test_execution_workers import REQUEST
if __name__ == "__main__":
    worker = ProcessWorker(hanging)
    worker.submit(REQUEST).result(20)
    worker.submit(REQUEST)
    print(worker.pid, flush=True)
    if "leave" in sys.argv:
        sys.exit()
    time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "leave"])
def test_a_process_does_not_outlive_the_one_that_made_it(tmp_path: Path, way: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = str(Path(__file__).parents[2])
    given = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, str(script), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if way == "killed":
            assert alive(pid)
            parent.kill()
    assert wait_until(lambda: not alive(pid))


LEAVING = """
import time, torch
from codi_core.tasks.call_thread import CallThread

def multiply():
    until, value = time.monotonic() + 0.5, torch.randn(200, 200)
    while time.monotonic() < until:
        value = (value @ value).tanh()

CallThread("busy").submit(multiply)
time.sleep(0.1)
"""


def test_a_program_may_end_while_its_thread_plans() -> None:
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_waiter_that_was_interrupted_does_not_end_the_thread() -> None:
    """As CPython's locks are left when a signal comes at a bad moment."""

    class Interrupted:
        def add_result(self, future: object) -> None:
            raise RuntimeError("release unlocked lock")

    thread, go_on = CallThread("calls"), threading.Event()
    first = thread.submit(go_on.wait)
    first._waiters.append(Interrupted())  # type: ignore[attr-defined]
    go_on.set()
    assert thread.submit(lambda: 7).result(5.0) == 7
    assert first.result(0.0) is True
    thread.close()


def test_tensors_arrive_as_they_are() -> None:
    sent = {
        "view": torch.arange(12.0).reshape(3, 4)[:, 1:3],
        "wide": torch.zeros(1).expand(1000),
        "whole": torch.tensor([1, 2]),
        "true": torch.tensor([True]),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "trained": torch.ones(2, requires_grad=True),
    }
    data = packed(sent)
    arrived = unpacked(data)
    for name, value in sent.items():
        assert torch.equal(arrived[name], value), name
        assert arrived[name].dtype == value.dtype
    arrived["view"].add_(1)  # it can be written to
    assert len(packed(torch.zeros(10_000)[:3])) < 1000


def test_errors_arrive_as_what_they_are_or_as_text() -> None:
    error = unpacked(packed_error(ValueError("so", 3)))
    assert type(error) is ValueError
    assert error.args == ("so", 3)
    mistake = unpacked(packed_error(LocalityError(["gap"])))
    assert type(mistake) is LocalityError
    assert str(mistake).startswith("no locality is declared by the cost 'gap'")
    odd = type(
        "Odd", (Exception,), {"__init__": lambda self, a, b: Exception.__init__(self, a + b)}
    )
    assert str(unpacked(packed_error(odd("here", " and there")))) == "Odd: here and there"
    local = type("Local", (Exception,), {})
    assert str(unpacked(packed_error(local("here")))) == "Local: here"
