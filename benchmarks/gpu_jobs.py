"""The long jobs on a GPU: at most 90 seconds of each, extrapolated, beside a CPU.

    python benchmarks/gpu_jobs.py --json runs/gpu_jobs.json
    python benchmarks/gpu_jobs.py --device cpu --worlds 2 --seconds 2 --steps 1 2

An evaluation is what ``codi-run --simulator mujoco-warp`` does: all worlds in one wave, physics,
policies and plans on the device. It is broken off after some seconds; the median of its control
steps, a plan's share included, is taken for all others. The CPU's has few worlds, in MuJoCo, and
its time is that of one world times the number of episodes.

A training is that of a baseline on its own samples, by its command, for two numbers of steps; the
difference is what steps take, without start and end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import CONSOLE, device_name, options, save, table, verdict

from codi_core import experiments
from codi_core.execution import ControlStep
from codi_core.execution.devices import check_device
from codi_core.tasks import EpisodeKey

TASK = "franka-handoff"
EPISODES, EPISODE_SECONDS, EVALUATION_BAR_S = 1_000, 60.0, 300.0
METHOD, METHOD_STEPS = "dpmd-joint", 3_000
"""A baseline that samples its current policy while it is trained, and the steps of its search."""


class _EnoughError(Exception):
    """Ends a rollout that was only to be timed."""


def evaluation(worlds: int, seconds: float, **chosen: Any) -> dict[str, Any]:
    """Time the control steps of an evaluation for so many seconds.

    Args:
        worlds: episodes that run at once.
        seconds: for how long, after the first two plans.
        chosen: options of ``codi-run``.
    """
    experiment = experiments.prepare(TASK, seed=4, after_success=0.0, **chosen)
    planner, keys = experiment.planner(), [EpisodeKey(4, world) for world in range(worlds)]
    began = time.perf_counter()
    plant = experiment.plants()(keys)
    execute = int(experiment.config.execute or 1)
    ticks: list[float] = []

    def note(step: ControlStep) -> None:
        ticks.append(time.perf_counter())
        warmed = len(ticks) > 2 * execute
        if warmed and ticks[-1] - ticks[2 * execute] > seconds:
            raise _EnoughError

    with suppress(_EnoughError):
        experiment.loop(planner).run(plant, keys, note)
    whole = ticks[2 * execute :: execute]  # each interval holds one plan and its control steps
    each = float(np.median(np.diff(whole))) / execute
    steps = round(EPISODE_SECONDS * experiment.opened.parts.rate_hz)
    return {
        "worlds": worlds,
        "control_steps": len(ticks),
        "ms_a_step": 1e3 * each,
        "first_plans_s": ticks[2 * execute] - began,
        "s_extrapolated": each * steps * -(-EPISODES // worlds),
    }


def on_policy(device: str, steps: tuple[int, int]) -> dict[str, Any]:
    """Milliseconds of a training step of a baseline, its share of new samples included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        _call(
            "codi_core.cli.collect", "--task", TASK, "--joint", "--episodes", "8", "--output", data
        )
        took = [_trained(data, folder / str(count), device, count) for count in steps]
    each = (took[1] - took[0]) / (steps[1] - steps[0])
    return {"ms_a_step": 1e3 * each, "s_extrapolated": each * METHOD_STEPS, "steps": steps}


def _trained(data: Path, output: Path, device: str, steps: int) -> float:
    began = time.perf_counter()
    _call(
        "codi_baselines.train.command", METHOD, data, "--task", TASK, "--steps", steps,
        "--device", device, "--output", output,
    )  # fmt: skip
    return time.perf_counter() - began


def _call(module: str, *words: object) -> None:
    code = f"import sys; from {module} import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{module} failed:\n{ended.stderr[-2000:]}")


def main() -> int:
    """Time both jobs."""
    given = _given()
    check_device(given.device)
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"device": device_name(given.device)}
    on_gpu = torch.device(given.device).type == "cuda"
    physics = {"simulator": "mujoco-warp"} if on_gpu else {}
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "evaluation": lambda: evaluation(
            given.worlds, given.seconds, device=given.device, cuda_graphs=on_gpu, **physics
        ),
        "evaluation, CPU": lambda: evaluation(given.cpu_worlds, given.seconds / 3),
        "training": lambda: on_policy(given.device, tuple(given.steps)),
        "training, CPU": lambda: on_policy("cpu", (2, 2 + max(1, given.steps[0] // 10))),
    }
    for name, job in jobs.items():
        if name.split(",")[0] not in given.parts:
            continue
        began = time.perf_counter()
        figures[name] = job()
        CONSOLE.print(f"{name}: {time.perf_counter() - began:.0f} s", highlight=False)
        save(given.json, figures)
    _report(figures)
    return 0


def _report(figures: dict[str, Any]) -> None:
    names = {
        "evaluation": f"{EPISODES:,} episodes of {EPISODE_SECONDS:g} s",
        "training": f"{METHOD}, {METHOD_STEPS:,} steps",
    }
    rows = [
        [names[name.split(",")[0]], name.split(", ")[-1] if "," in name else figures["device"],
         row.get("worlds", ""), row["ms_a_step"], row["s_extrapolated"]]
        for name, row in figures.items() if name != "device"
    ]  # fmt: skip
    columns = ["", "on", "worlds", "ms a step", "whole job [s]"]
    table("jobs that were broken off, extrapolated; the CPU is one core", columns, rows)
    if "evaluation" not in figures:
        return
    took = figures["evaluation"]["s_extrapolated"]
    beside = figures["evaluation, CPU"]["s_extrapolated"] / took
    verdict(
        f"1,000 episodes in {took:.0f} s, {beside:.1f} times as fast as a core, at most "
        f"{EVALUATION_BAR_S:g} s",
        took <= EVALUATION_BAR_S,
    )


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", nargs="+", default=["evaluation", "training"])
    parser.add_argument("--worlds", type=int, default=1_000, help="of the wave on the device")
    parser.add_argument("--cpu-worlds", type=int, default=8, help="of the wave on the CPU")
    parser.add_argument("--seconds", type=float, default=60.0, help="of an evaluation, at most")
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(50, 250), metavar=("FEW", "MANY"),
        help="of a training",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
