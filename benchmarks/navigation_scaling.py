"""How planning scales in the number of robots: time, memory and success for N = 2 … 128.

    python benchmarks/navigation_scaling.py --json runs/scaling.json --picture runs/scaling.png
    python benchmarks/navigation_scaling.py --agents 8 32 128 --episodes 0

Processor time of plans of navigation-swap for one world on one thread, from states in the middle of
the task: replans of the default method and of CoDi, with the task's own settings, and plans of CoDi
from pure noise with M 64 and 16 steps. Each N is measured in a process of its own, for its peak
memory. Success is that of the run in RUNS/swap-N, with the task's own settings; where there is
none, --episodes episodes are run there.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plans import make_planner, plan
from reporting import CONSOLE, options, save, spread, table, verdict

from codi_core import experiments
from codi_core.errors import CodiError
from codi_core.evaluation.statistics import wilson_interval
from codi_core.experiments import Experiment
from codi_core.guidance import FactoredGuidance
from codi_core.planning import Plan, Planner
from codi_core.posteriors import CorrelatedPosterior
from codi_core.tasks import EpisodeKey, Step

AGENTS = (2, 4, 8, 16, 32, 64, 128)
BARS_MS = {8: 30.0, 32: 100.0, 128: 400.0}
LARGE, EXPONENT_BAR = 32, 1.2
"""From this N on the exponent of the time is fitted."""
SAMPLES, STEPS = 64, 16
METHODS = ("search", "codi")
"""Whose replans are measured: the task's default and the paper's."""
DRIVEN = 8
"""Control steps that are driven before anything is measured."""


def swap(agents: int, checkpoint: Path | None, method: str = "codi") -> Experiment:
    """The task of this size."""
    options = {"agents": agents, "stop_at_contact": False}
    return experiments.prepare("navigation-swap", options, checkpoint=checkpoint, method=method)


def measure(agents: int, checkpoint: Path | None, repeats: int, seed: int) -> dict[str, Any]:
    """Milliseconds of plans and their stages for N robots, and the process's peak memory."""
    torch.set_num_threads(1)
    experiment = swap(agents, checkpoint)
    guidance = FactoredGuidance(CorrelatedPosterior(), SAMPLES, experiment.config.temperature)
    planner = make_planner(experiment, guidance, STEPS)
    step, _ = driven(experiment, planner, seed)
    wall, stages = timed(planner, step, None, repeats, seed)
    names = ("denoise", "draw", "predict", "cost")
    return {
        "agents": agents,
        "replan_ms": {
            method: spread(replans(swap(agents, checkpoint, method), repeats, seed))
            for method in METHODS
        },
        "plan_ms": spread(wall),
        "stages_ms": {name: 1e3 * float(np.median([s[name] for s in stages])) for name in names},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def replans(experiment: Experiment, repeats: int, seed: int) -> list[float]:
    """Milliseconds of plans that follow a previous one, with the method's own settings."""
    planner = experiment.planner()
    step, previous = driven(experiment, planner, seed)
    return timed(planner, step, previous, repeats, seed)[0]


def driven(experiment: Experiment, planner: Planner, seed: int) -> tuple[Step, Plan]:
    """What is seen in the middle of the task, and the last plan that led there."""
    environment, made = experiment.environment(), None
    step = environment.reset([EpisodeKey(seed, 0)])
    for number in range(DRIVEN):
        made = plan(planner, step, number, seed, made)
        step = environment.step(tuple(chunk[:, 0] for chunk in made.chunks))
    assert made is not None
    return step, made


def timed(
    planner: Planner, step: Step, previous: Plan | None, repeats: int, seed: int
) -> tuple[list[float], list[Any]]:
    """Processor milliseconds of plans from one state, and the seconds of their stages."""
    wall, stages = [], []
    for number in range(repeats):
        began = time.process_time()
        made = plan(planner, step, 1000 + number, seed, previous)
        wall.append(1e3 * (time.process_time() - began))
        stages.append(made.diagnostics.seconds)
    return wall, stages


def succeed(agents: int, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """What the run in a folder tells of its success; it is made if it is not there."""
    if not (folder / "metrics.json").exists():
        _run_episodes(agents, folder, given)
    metrics = json.loads((folder / "metrics.json").read_text())
    successes = round(metrics["success_rate"] * metrics["episodes"])
    return {
        "episodes": metrics["episodes"],
        "successes": successes,
        "interval_95": list(wilson_interval(successes, metrics["episodes"])),
    }


def _run_episodes(agents: int, folder: Path, given: argparse.Namespace) -> None:
    command = [sys.executable, "-m", "codi_core.cli.run", "--task", "navigation-swap"]
    command += ["--agents", str(agents), "--episodes", str(given.episodes)]
    command += ["--seed", str(given.seed), "--worlds", str(min(10, given.episodes))]
    command += ["--output", str(folder), "--overwrite", "--no-report", "--no-video"]
    if given.checkpoint is not None:
        command += ["--checkpoint", str(given.checkpoint)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def exponent(rows: list[dict[str, Any]]) -> float | None:
    """The slope of log time over log N, for large N."""
    large = [row for row in rows if row["agents"] >= LARGE]
    if len(large) < 2:
        return None
    agents = np.log([row["agents"] for row in large])
    return float(np.polyfit(agents, np.log([row["plan_ms"]["median"] for row in large]), 1)[0])


def draw(path: Path, rows: list[dict[str, Any]], slope: float | None) -> None:
    """Plot time, memory and success against N."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    agents = [row["agents"] for row in rows]
    panels[0].plot(agents, [row["plan_ms"]["median"] for row in rows], "o-", label="one plan")
    panels[0].plot(list(BARS_MS), list(BARS_MS.values()), "v", color="crimson", label="bar")
    panels[0].set(ylabel="median time [ms]", yscale="log")
    if slope is not None:
        panels[0].set_title(f"time grows as N^{slope:.2f} from N = {LARGE} on", fontsize=10)
    panels[1].plot(agents, [row["peak_mib"] for row in rows], "o-")
    panels[1].set(ylabel="peak memory of the process [MiB]", ylim=(0, None))
    told = [row for row in rows if "successes" in row]
    rates = np.array([row["successes"] / row["episodes"] for row in told])
    bounds = np.array([row["interval_95"] for row in told]).reshape(-1, 2)
    errors = np.abs(np.stack((rates - bounds[:, 0], bounds[:, 1] - rates))) if told else None
    panels[2].errorbar([row["agents"] for row in told], rates, errors, fmt="o-", capsize=3)
    panels[2].set(ylabel="success, 95 % interval", ylim=(0, 1.02))
    for axes in panels:
        axes.set_xscale("log", base=2)
        axes.set_xlabel("robots N")
        axes.set_xticks(agents, [str(count) for count in agents])
        axes.grid(alpha=0.3)
    panels[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    CONSOLE.print(f"wrote {path}", highlight=False)


def main() -> int:
    given = _given()
    if given.one is not None:
        print(json.dumps(measure(given.one, given.checkpoint, given.repeats, given.seed)))
        return 0
    try:
        swap(2, given.checkpoint).product()
    except CodiError as error:
        CONSOLE.print(f"[red]error:[/] {error}")
        return 2
    rows = []
    for agents in given.agents:
        CONSOLE.print(f"{agents} robots", highlight=False)
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(agents)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        row = json.loads(found.stdout)
        if given.episodes:
            row |= succeed(agents, given.runs / f"swap-{agents}", given)
        rows.append(row)
    _report(rows, given)
    return 0


def _report(rows: list[dict[str, Any]], given: argparse.Namespace) -> None:
    stages = ("denoise", "draw", "predict", "cost")
    cells = [
        [
            str(row["agents"]),
            *(row["replan_ms"][method]["median"] for method in METHODS),
            row["plan_ms"]["median"],
            row["plan_ms"]["p95"],
            *(row["stages_ms"][name] for name in stages),
            round(row["peak_mib"]),
            f"{row['successes']} of {row['episodes']}" if "successes" in row else "-",
        ]
        for row in rows
    ]
    title = (
        f"Replans, and plans from pure noise (M {SAMPLES}, {STEPS} steps) [ms]: 1 world, 1 thread"
    )
    table(title, ["robots", *METHODS, "from noise", "p95", *stages, "MiB", "success"], cells)
    for row in rows:
        if (bar := BARS_MS.get(row["agents"])) is not None:
            what = f"{row['agents']} robots from noise, median at most {bar:g} ms"
            verdict(what, row["plan_ms"]["median"] <= bar)
    slope = exponent(rows)
    if slope is not None:
        what = f"exponent {slope:.2f} of the time over N >= {LARGE}, at most {EXPONENT_BAR}"
        verdict(what, slope <= EXPONENT_BAR)
    save(given.json, {"rows": rows, "exponent": slope, "samples": SAMPLES, "steps": STEPS})
    if given.picture is not None:
        draw(given.picture, rows, slope)


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--agents", type=int, nargs="+", default=list(AGENTS), metavar="N")
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped one")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--episodes", type=int, default=20, help="0: nothing about success")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where runs are")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw the plots there")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
