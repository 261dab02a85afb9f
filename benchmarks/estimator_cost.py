"""Processor time of a replan, for each estimator that ``codi-bench task`` compares.

    python benchmarks/estimator_cost.py

Each entry plans for some worlds of ``franka-handoff`` with the settings of the comparison in the
docs. What other processes do at the same time hardly matters. First plans are left out.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from reporting import options, save, table

from codi_baselines.on_task.command import for_entry
from codi_baselines.on_task.entries import Entry, entries
from codi_core.experiments.configuration import resolve
from codi_core.experiments.experiment import Experiment
from codi_core.experiments.opening import find_task
from codi_core.host.assembly import OpenTask
from codi_core.planning import Plan, PlanContext, Planner

SAMPLER = "warm-start:sigma_warm=5.0,steps=4,cold=0.1"


class Timed(Planner):
    """Notes the processor time of each plan [s]."""

    def __init__(self, inner: Planner) -> None:
        self.inner = inner
        self.layout = inner.layout
        self.seconds: list[float] = []

    def plan(self, context: PlanContext) -> Plan:
        """The inner planner's plan."""
        began = time.process_time()
        made = self.inner.plan(context)
        self.seconds.append(time.process_time() - began)
        return made


def milliseconds(opened: OpenTask, entry: Entry, given: argparse.Namespace) -> float:
    """Of a replan, for one world of the batch."""
    asked = {"episodes": given.worlds, "sampler": SAMPLER, "max_seconds": given.seconds}
    base = resolve({**asked, "physics_threads": 1}, opened)
    runner = Experiment(opened, for_entry(entry, base, given.rollouts)).wave_runner()
    runner.loop.planner = timed = Timed(runner.loop.planner)
    runner.run(range(given.worlds))
    return 1e3 * float(np.median(timed.seconds[1:])) / given.worlds


def main() -> int:
    given = _given()
    opened = find_task("franka-handoff").open()
    figures = {entry.label: milliseconds(opened, entry, given) for entry in entries(opened.host)}
    rows = [[name, value] for name, value in figures.items()]
    table(f"{given.rollouts} rollouts, {given.worlds} worlds", ["entry", "ms"], rows)
    save(given.json, figures)
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--rollouts", type=int, default=128, help="a replan (default: 128)")
    parser.add_argument("--worlds", type=int, default=8, help="planned at once (default: 8)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of episodes (default: 2)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
