"""Physics in the guidance on a GPU: sweeps of rollouts in MuJoCo Warp, beside MuJoCo on the CPU.

    python benchmarks/warp_rollouts.py --device cuda --json runs/warp.json
    python benchmarks/warp_rollouts.py --no-warp
    python benchmarks/warp_rollouts.py --device cpu --rollouts 8 --replan 2 4 --repeats 2

A sweep is one prediction of so many samples of 1.6 s by the predictor with physics, from a state in
which a cube is carried: the controller between the steps, and the trajectory, included. A replan
is one of CoDi's, with a sweep for each denoising step, as a CUDA graph where there is a GPU; beside
it stand as many sweeps alone, which tells what else a replan takes. A time is the median of
several, each between two synchronisations; the first one, which compiles and records, is told
apart. The CPU's side is MuJoCo with all processors, in the same call.

Then worlds are stepped as an environment does it, a control step at a time, for some seconds, and
the time of an evaluation is extrapolated from that.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
import torch
from gpu_latency import Scene, driven, settle
from mujoco_predictor import draw_chunks, mid_carry
from reporting import CONSOLE, device_name, options, save, spread, table, verdict

from codi_core import experiments
from codi_core.execution.devices import check_device, to_device
from codi_core.guidance import MonteCarloGuidance
from codi_core.posteriors import IsotropicPosterior
from codi_core.tasks import EpisodeKey
from codi_franka.action import RATE_HZ
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.rollouts import rollouts_of
from codi_franka.physics.simulator import SimulatorMaker
from codi_franka.physics.warp_simulator import WarpMaker
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS

SWEEP_BAR_MS, REPLAN_BAR_MS, OUTSIDE_BAR = 50.0, 200.0, 0.2
EPISODE_SECONDS = 60.0


@attrs.frozen
class Side:
    """What is measured.

    Attributes:
        name: for the report.
        maker: of its simulators.
        device: where their tensors are.
        predictor: what ``codi-run`` calls the predictor that rolls out in them.
        repeats: of a time.
    """

    name: str
    maker: SimulatorMaker
    device: str
    predictor: str
    repeats: int


def timed(run: Callable[[], object], device: str, repeats: int) -> dict[str, float]:
    """Milliseconds of a run, and of the first one, which compiles."""
    first = _once(run, device)
    found = [_once(run, device) for _ in range(repeats)]
    return {**spread(found), "first": first}


def _once(run: Callable[[], object], device: str) -> float:
    settle(device)
    start = time.perf_counter()
    run()
    settle(device)
    return 1e3 * (time.perf_counter() - start)


def sweep(side: Side, samples: int, times: int = 1) -> dict[str, float]:
    """So many predictions of samples, one after the other."""
    predictor = PhysicsPredictor(ARMS, rollouts_of(side.maker))
    state = to_device(mid_carry(), side.device)
    chunks = tuple(chunk.to(side.device) for chunk in draw_chunks(samples, 0))

    def run() -> None:
        for _ in range(times):
            predictor.predict(state, chunks)

    found = timed(run, side.device, side.repeats)
    return {**found, "rollouts_per_second": 1e3 * samples * times / found["median"]}


def replan(side: Side, scene: Scene, samples: int, steps: int) -> dict[str, float]:
    """Plans of one world in the middle of a task, a sweep for each denoising step."""
    physical = experiments.prepare("franka-handoff", method="codi", predictor=side.predictor)
    guidance = MonteCarloGuidance(IsotropicPosterior(), samples, physical.config.temperature)
    graphs = torch.device(side.device).type == "cuda"
    there = attrs.evolve(scene, experiment=physical)
    return timed(there.planning(guidance, steps, side.device, graphs), side.device, side.repeats)


def environment_steps(side: Side, worlds: int, seconds: float) -> dict[str, float]:
    """Control steps of many worlds, for so many seconds at most."""
    environment = FrankaEnvironment(HandoffOptions(), side.maker)
    began = time.perf_counter()
    environment.reset([EpisodeKey(0, world) for world in range(worlds)])
    still = tuple(torch.zeros(worlds, 7) for _ in ARMS)
    environment.step(still)
    opening = time.perf_counter() - began
    count, began = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - began < seconds:
        environment.step(still)
        count += 1
    each = (time.perf_counter() - began) / count
    return {"worlds": worlds, "steps": count, "ms_a_step": 1e3 * each, "first_s": opening}


def carrying() -> Scene:
    """A world some control steps into an episode, driven by plans without physics."""
    experiment = experiments.prepare("franka-handoff", method="codi")
    guidance = MonteCarloGuidance(IsotropicPosterior(), 16, experiment.config.temperature)
    return driven(experiment, 1, 40, guidance)


def measured(side: Side, scene: Scene, given: argparse.Namespace) -> dict[str, Any]:
    """All that is measured of a side."""
    sweeps, of_each = given.replan
    alone = sweep(side, of_each, sweeps)
    whole = replan(side, scene, of_each, sweeps)
    return {
        "sweep": sweep(side, given.rollouts),
        "sweeps": alone,
        "replan": whole,
        "outside": 1.0 - alone["median"] / whole["median"],
        "environment": environment_steps(side, given.worlds, given.seconds),
    }


def main() -> int:
    """Measure both sides."""
    given = _given()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"torch": torch.__version__}
    sides = []
    if given.warp:
        check_device(given.device)
        figures["device"] = device_name(given.device)
        name, physics = f"mujoco-warp, {given.device}", "physics:simulator=mujoco-warp"
        sides.append(Side(name, WarpMaker(given.device), given.device, physics, given.repeats))
    cpu = MujocoMaker(threads=0)
    sides.append(Side("mujoco, all processors", cpu, "cpu", "mujoco", given.cpu_repeats))
    scene = carrying()
    for side in sides:
        CONSOLE.print(side.name, highlight=False)
        figures[side.name] = measured(side, scene, given)
        save(given.json, figures)
    _report({side.name: figures[side.name] for side in sides}, given)
    return 0


def _report(figures: dict[str, dict[str, Any]], given: argparse.Namespace) -> None:
    sweeps, of_each = given.replan
    columns = [
        "simulator", f"a sweep of {given.rollouts} [ms]", "rollouts/s",
        f"{sweeps} sweeps of {of_each} [ms]", "a replan with them [ms]",
        f"a step of {given.worlds} worlds [ms]", "60 s of them, without plans, extrapolated [s]",
        "first sweep [s]",
    ]  # fmt: skip
    rows = []
    for name, found in figures.items():
        one, step = found["sweep"], found["environment"]["ms_a_step"]
        whole = step * EPISODE_SECONDS * RATE_HZ / 1e3
        rows.append(
            [name, one["median"], one["rollouts_per_second"], found["sweeps"]["median"],
             found["replan"]["median"], step, whole, found["sweeps"]["first"] / 1e3]
        )  # fmt: skip
    table("physics in the guidance", columns, rows)
    if not given.warp:
        return
    mine = next(iter(figures.values()))
    one, whole, outside = mine["sweep"]["median"], mine["replan"]["median"], mine["outside"]
    verdict(f"a sweep of {given.rollouts} in at most {SWEEP_BAR_MS:g} ms", one <= SWEEP_BAR_MS)
    verdict(
        f"a replan with {sweeps} sweeps of {of_each} in at most {REPLAN_BAR_MS:g} ms",
        whole <= REPLAN_BAR_MS,
    )
    verdict(
        f"{100 * outside:.0f} % of it outside of physics, at most {100 * OUTSIDE_BAR:g} %",
        outside <= OUTSIDE_BAR,
    )


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda", help="of MuJoCo Warp")
    parser.add_argument(
        "--warp", action=argparse.BooleanOptionalAction, default=True,
        help="without, MuJoCo on the CPU alone is measured",
    )  # fmt: skip
    parser.add_argument("--rollouts", type=int, default=1024, help="of a sweep")
    parser.add_argument("--replan", type=int, nargs=2, default=(4, 256), metavar=("SWEEPS", "M"))
    parser.add_argument("--worlds", type=int, default=1024, help="of an environment")
    parser.add_argument("--seconds", type=float, default=60.0, help="that worlds are stepped")
    parser.add_argument("--repeats", type=int, default=10, help="of a time")
    parser.add_argument("--cpu-repeats", type=int, default=10, help="of a time on the CPU")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
