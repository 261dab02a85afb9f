"""How long one plan takes: one world, kinematic predictor, one thread.

    python benchmarks/planning.py
    python benchmarks/planning.py --checkpoint runs/policy/checkpoint.safetensors --repeats 100

The plans are made from a state in the middle of a task: the closed loop runs for some seconds
before anything is measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from plans import make_planner, plan
from reporting import CONSOLE, options, save, spread, table, verdict

from codi_core import experiments
from codi_core.composition import CoordinatedPolicy
from codi_core.errors import CodiError
from codi_core.guidance import MonteCarloGuidance
from codi_core.policies import AgentView, DiffusionPolicy, Factor, PolicySpec, ProductPolicy
from codi_core.posteriors import IsotropicPosterior
from codi_core.tasks import EpisodeKey, PlanSettings, Step
from codi_franka.action import ACTION_SPEC, RATE_HZ
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import SHAPES
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.robot.cell import ARMS

BAR_MS = 60.0
STAGES = ("denoise", "draw", "predict", "cost")
START = (-0.3, 0.15, 0.3)


def untrained() -> tuple[Factor, ...]:
    """A policy of the usual size that has learned nothing: enough for timing."""
    policy = DiffusionPolicy.build(PolicySpec(ACTION_SPEC, SHAPES), "unet", widths=(64, 128))
    policy.requires_grad_(False).eval()
    return tuple(Factor(policy, (index,), AgentView(arm)) for index, arm in enumerate(ARMS))


def mid_task(planner: CoordinatedPolicy, seconds: float, execute: int, seed: int) -> Step:
    """Run the closed loop for a while and return what is seen then."""
    environment = FrankaEnvironment(HandoffOptions(start=START), MujocoMaker())
    step = environment.reset([EpisodeKey(seed, 0)])
    for number in range(max(1, round(seconds * RATE_HZ / execute))):
        chunks = plan(planner, step, number, seed).chunks
        for k in range(execute):
            step = environment.step(tuple(chunk[:, k] for chunk in chunks))
    return step


def measure(planner: CoordinatedPolicy, step: Step, repeats: int, seed: int) -> dict[str, Any]:
    """Wall milliseconds of whole plans and of their stages, and processor milliseconds of plans.

    Where other processes compete for the cores, the processor's time says what a free core would
    do.
    """
    total, processor = [], []
    stages: dict[str, list[float]] = {name: [] for name in (*STAGES, "rest")}
    for number in range(repeats):
        began, spent = time.perf_counter(), time.process_time()
        made = plan(planner, step, 1000 + number, seed)
        total.append(1e3 * (time.perf_counter() - began))
        processor.append(1e3 * (time.process_time() - spent))
        parts = {name: 1e3 * made.diagnostics.seconds[name] for name in STAGES}
        parts["rest"] = total[-1] - sum(parts.values())
        for name, value in parts.items():
            stages[name].append(value)
    return {
        "plan_ms": spread(total),
        "plan_cpu_ms": spread(processor),
        "stages_ms": {name: spread(values) for name, values in stages.items()},
        "rollouts": int(made.diagnostics.counts["rollouts"]),
    }


def main() -> int:
    given = _given()
    torch.set_num_threads(given.threads)
    defaults = PlanSettings()
    settings = attrs.evolve(
        defaults, samples=given.samples or defaults.samples, steps=given.steps or defaults.steps
    )
    try:
        experiment = experiments.prepare(
            "franka-handoff", method="codi", checkpoint=given.checkpoint
        )
        product = ProductPolicy(untrained()) if given.untrained else experiment.product()
    except CodiError as error:
        CONSOLE.print(f"[red]error:[/] {error}\n(--untrained measures without a checkpoint)")
        return 2
    guidance = MonteCarloGuidance(IsotropicPosterior(), settings.samples, settings.temperature)
    planner = make_planner(experiment, guidance, settings.steps, product)
    step = mid_task(planner, given.seconds, settings.execute, given.seed)
    figures = measure(planner, step, given.repeats, given.seed)
    figures |= {
        "samples": settings.samples,
        "steps": settings.steps,
        "threads": given.threads,
        "repeats": given.repeats,
        "bar_ms": BAR_MS,
        "state": {
            name: np.round(step.events[name][0], 4).tolist()
            for name in ("cube_position", "hand_position", "gripper_width")
        },
    }
    rows = [[name, v["median"], v["p95"]] for name, v in figures["stages_ms"].items()]
    for label, name in (("plan", "plan_ms"), ("plan, processor", "plan_cpu_ms")):
        rows.append([label, figures[name]["median"], figures[name]["p95"]])
    title = (
        f"One plan [ms]: 1 world, M {settings.samples}, {settings.steps} steps, kinematic, "
        f"{given.threads} thread(s)"
    )
    table(title, ["stage", "median", "p95"], rows)
    verdict(f"median at most {BAR_MS:g} ms", figures["plan_ms"]["median"] <= BAR_MS)
    save(given.json, figures)
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped one")
    parser.add_argument("--untrained", action="store_true", help="measure without a checkpoint")
    parser.add_argument("--samples", type=int, help="M")
    parser.add_argument("--steps", type=int, help="denoising steps")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=4.0, help="of closed loop before")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
