"""Stages are timed where the work is done: on a GPU by marks in its queue, read later."""

from __future__ import annotations

import pickle
import time

import pytest
import torch

from codi_core.planning import Diagnostics, NoiseSource, PlanContext
from codi_core.planning.stopwatch import CudaStopwatch, HostStopwatch, stopwatch_of
from codi_core.testing import plain_layout

GPU = torch.device("cuda", 1)


class Queue:
    """A device whose marks pass at given times, and which must be waited for to know them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits, self.capturing = 0, False
        self.milliseconds: list[float] = []
        queue = self

        class Event:
            def __init__(self, enable_timing: bool = False) -> None:
                assert enable_timing

            def record(self, stream: object) -> None:
                assert stream == f"the stream of {GPU}"
                self.at = queue.milliseconds.pop(0)

            def synchronize(self) -> None:
                queue.waits += 1

            def elapsed_time(self, end: Event) -> float:
                assert queue.waits
                return end.at - self.at

            def __reduce__(self) -> str:
                raise TypeError("an event cannot be sent")

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: self.capturing)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(monkeypatch)


def test_the_stages_of_a_gpu_are_read_only_when_somebody_looks(queue: Queue) -> None:
    diagnostics = Diagnostics(stopwatch=stopwatch_of(GPU))
    queue.milliseconds = [0.0, 10.0, 250.0, 1000.0, 1500.0, 2000.0]
    with diagnostics.stage("plan"):
        with diagnostics.stage("denoise"):
            pass
        with diagnostics.stage("denoise"):
            pass
    assert queue.waits == 0
    assert diagnostics.seconds == pytest.approx({"plan": 2.0, "denoise": 0.24 + 0.5})
    assert queue.waits == 3
    assert diagnostics.seconds == pytest.approx({"plan": 2.0, "denoise": 0.24 + 0.5})
    assert queue.waits == 3


def test_a_stage_that_breaks_ends_there(queue: Queue) -> None:
    stopwatch = CudaStopwatch(GPU)
    queue.milliseconds = [0.0, 100.0]
    with pytest.raises(KeyError), stopwatch.stage("cost"):
        raise KeyError
    assert stopwatch.seconds == pytest.approx({"cost": 0.1})


def test_what_is_recorded_as_a_graph_is_not_timed(queue: Queue) -> None:
    stopwatch = CudaStopwatch(GPU)
    queue.capturing = True
    with stopwatch.stage("plan"):
        pass
    assert stopwatch.seconds == {}


def test_times_can_be_sent_and_marks_cannot(queue: Queue) -> None:
    diagnostics = Diagnostics(stopwatch=CudaStopwatch(GPU))
    queue.milliseconds = [0.0, 300.0]
    with diagnostics.stage("plan"):
        pass
    arrived = pickle.loads(pickle.dumps(diagnostics))
    assert arrived.seconds == pytest.approx({"plan": 0.3})


def test_plans_are_timed_where_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = NoiseSource([(0, 0, 0)])
    context = PlanContext(noise, {}, plain_layout(2))
    assert isinstance(context.diagnostics.stopwatch, HostStopwatch)
    monkeypatch.setattr(noise, "device", GPU)
    context = PlanContext(noise, {}, plain_layout(2))
    assert isinstance(context.diagnostics.stopwatch, CudaStopwatch)
    assert context.diagnostics.stopwatch.device == GPU


def test_the_host_is_timed_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 3.5, 10.0, 10.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(times))
    diagnostics = Diagnostics()
    for _ in range(2):
        with diagnostics.stage("plan"):
            pass
    assert diagnostics.seconds == {"plan": 2.75}
