"""How much processor time one replan takes with several methods, in turn, from the same states.

    python benchmarks/replans.py
    python benchmarks/replans.py --method search:candidates=32 search:calls=3

One world of ``franka-handoff``, kinematic predictor. The closed loop runs for some seconds with the
task's default; from there each method replans again and again, all of them in each round. So a
machine whose speed drifts slows all of them down, and their ratios can be trusted.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import torch
from plans import plan
from reporting import options, save, spread, table

from codi_core import experiments
from codi_core.planning import Plan, Planner
from codi_core.tasks import EpisodeKey, Step
from codi_franka.action import RATE_HZ
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.task import PRESETS

START = (-0.3, 0.15, 0.3)
DEFAULT = "default"


def configurations(methods: list[str]) -> dict[str, dict[str, Any]]:
    """The options of a run for each row."""
    fast = PRESETS["fast"]
    return {
        DEFAULT: {},
        "codi": {"method": "codi"},
        "fast": {name: fast[name] for name in ("method", "posterior", "sampler", "samples")},
        "best-of 128": {"method": "best-of", "sampler": "ancestral", "steps": 4, "samples": 128},
        **{method: {"method": method} for method in methods},
    }


def mid_task(planner: Planner, execute: int, seconds: float, seed: int) -> tuple[Step, Plan]:
    """What is seen after some seconds of closed loop, and the plan that led there."""
    environment = FrankaEnvironment(HandoffOptions(start=START), MujocoMaker(1))
    step, made = environment.reset([EpisodeKey(seed, 0)]), None
    for number in range(max(1, round(seconds * RATE_HZ / execute))):
        made = plan(planner, step, number, seed, made, execute)
        for k in range(execute):
            step = environment.step(tuple(chunk[:, k] for chunk in made.chunks))
    assert made is not None
    return step, made


def measure(
    planners: dict[str, Planner],
    step: Step,
    previous: Plan,
    execute: int,
    given: argparse.Namespace,
) -> dict[str, Any]:
    """Processor milliseconds of each method's replans, and their ratio to the default's."""
    spent: dict[str, list[float]] = {name: [] for name in planners}
    rollouts: dict[str, int] = {}
    for number in range(given.repeats + 1):
        for name, planner in planners.items():
            began = time.process_time()
            made = plan(planner, step, 1000 + number, given.seed, previous, execute)
            spent[name].append(1e3 * (time.process_time() - began))
            rollouts[name] = int(made.diagnostics.counts["rollouts"])
    # The first round warms up.
    default = np.array(spent[DEFAULT][1:])
    return {
        name: {
            "plan_cpu_ms": spread(values[1:]),
            "ratio": float(np.median(np.array(values[1:]) / default)),
            "rollouts": rollouts[name],
        }
        for name, values in spent.items()
    }


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    prepared = {
        name: experiments.prepare("franka-handoff", **chosen)
        for name, chosen in configurations(given.method).items()
    }
    planners = {name: experiment.planner() for name, experiment in prepared.items()}
    execute = int(prepared[DEFAULT].config.execute or 1)
    step, previous = mid_task(planners[DEFAULT], execute, given.seconds, given.seed)
    figures = measure(planners, step, previous, execute, given)
    rows = [
        [name, found["rollouts"], found["plan_cpu_ms"]["median"], found["ratio"]]
        for name, found in figures.items()
    ]
    columns = ["replan", "rollouts", "processor [ms]", "over the default's"]
    table(f"{given.repeats} replans each, one world, one thread", columns, rows)
    save(given.json, figures)
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument(
        "--method", nargs="+", default=[], metavar="NAME", help="further methods, as for codi-run"
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4.0, help="of closed loop before")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
