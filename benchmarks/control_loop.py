"""What the closed loop costs on the wall clock, and how late it observes.

    python benchmarks/control_loop.py

A plant that does nothing is driven by a planner that computes all the time, in a thread and in a
process. Measured are the processor time of the controller's thread a tick, and how long after each
control step's time the plant is asked to observe.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable

import torch
from reporting import options, save, spread, table
from torch import Tensor

from codi_core.execution import (
    LoopSettings,
    PlanMaker,
    PlanWorker,
    ProcessWorker,
    RecedingHorizon,
    ThreadWorker,
)
from codi_core.planning import ChunkLayout, Plan, PlanContext, Planner
from codi_core.tasks import EpisodeKey, Plant, Step

HORIZON, AGENTS, SIZE = 16, 2, 7


class IdlePlant(Plant):
    """Two arms that do nothing; notes how late it is asked to observe [s]."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []

    def _observe(self, until: float) -> Step:
        now = self.clock.now()
        self.late.append(now - until)
        state = torch.zeros(1, AGENTS, SIZE)
        return Step(now, state, {"arms": state}, {"arms": state.numpy()})

    def _follow(self, chunks: tuple[Tensor, ...] | None, start: float) -> None:
        pass


class BusyPlanner(Planner):
    """Multiplies matrices for so many seconds, as planners do."""

    layout = ChunkLayout(
        tuple((agent,) for agent in range(AGENTS)),
        tuple(slice(k * HORIZON * SIZE, (k + 1) * HORIZON * SIZE) for k in range(AGENTS)),
        (SIZE,) * AGENTS,
        HORIZON,
    )

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.matrix = torch.randn(64, 64) / 8

    def plan(self, context: PlanContext) -> Plan:
        """Zeros, when the time is over."""
        until, value = time.monotonic() + self.seconds, self.matrix
        while time.monotonic() < until:
            value = (value @ self.matrix).tanh()
        chunks = tuple(torch.zeros(1, HORIZON, SIZE) for _ in range(AGENTS))
        return Plan(chunks, torch.zeros(1, self.layout.size), context.diagnostics)


def busy(seconds: float) -> PlanMaker:
    """What plans."""
    return PlanMaker(BusyPlanner(seconds))


def measured(worker: PlanWorker, given: argparse.Namespace) -> dict[str, float]:
    """Milliseconds."""
    settings = LoopSettings(given.rate, HORIZON, 4, given.duration)
    plant, ends = IdlePlant(), []
    loop = RecedingHorizon(worker, settings)
    rollout = loop.run(
        plant, [EpisodeKey(given.seed, 0)], lambda step: ends.append(time.thread_time())
    )
    ticks = [1e3 * (after - before) for before, after in zip(ends, ends[1:], strict=False)]
    late = spread([1e3 * seconds for seconds in plant.late[1:]])
    return {
        "processor_ms": spread(ticks)["median"],
        "late_median_ms": late["median"],
        "late_p95_ms": late["p95"],
        "missed": float(rollout.missed),
    }


def main() -> None:
    """Measure both workers."""
    given = _given()
    makers: dict[str, Callable[[], PlanWorker]] = {
        "thread": lambda: ThreadWorker(BusyPlanner(given.planning)),
        "process": lambda: ProcessWorker(functools.partial(busy, given.planning)),
    }
    figures = {}
    for name, make in makers.items():
        with make() as worker:
            figures[name] = measured(worker, given)
    columns = ["worker", "controller [ms/tick]", "late [ms]", "late, p95 [ms]", "missed ticks"]
    rows = [[name, *values.values()] for name, values in figures.items()]
    title = f"{given.rate:g} Hz for {given.duration:g} s, plans of {1e3 * given.planning:g} ms"
    table(title, columns, rows)
    save(given.json, figures)


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="control rate [Hz]")
    parser.add_argument("--planning", type=float, default=0.03, help="seconds a plan")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
