"""What a GPU gains: each figure on the device beside the one of one CPU core, from the same call.

    python benchmarks/gpu_latency.py --json runs/gpu_latency.json
    python benchmarks/gpu_latency.py --device cpu --samples 16 --worlds 4 --agents 8 16

Plans are made from pure noise, in states some control steps into a task. A time is the median of
several, each between two synchronisations, after a warm-up. On a GPU one more plan is made under
``torch.cuda.set_sync_debug_mode``, which tells where the host would wait, one under the profiler,
which counts kernels, and plans are replayed as CUDA graphs. Replans of many worlds are made in
other precisions, too, with how far D(x, t) is from that in float32. Training is that of a policy of
the shipped size on random data, some steps, extrapolated to the steps of the shipped checkpoint.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from plans import context_of, make_planner, with_history
from reporting import CONSOLE, device_name, options, save, spread, table, verdict
from torch import Tensor
from torch.autograd import DeviceType

from codi_core import experiments
from codi_core.data import Segments
from codi_core.execution.devices import check_device, to_device
from codi_core.execution.graphs import GraphedPlanner
from codi_core.execution.world_selection import of_worlds
from codi_core.experiments import Experiment
from codi_core.guidance import FactoredGuidance, Guidance, MonteCarloGuidance
from codi_core.planning import NoiseSource, Observation, Plan, Planner
from codi_core.policies import DiffusionPolicy, PolicySpec
from codi_core.policies.diffusion import denoising_loss
from codi_core.posteriors import CorrelatedPosterior, IsotropicPosterior
from codi_core.resources import PRECISIONS
from codi_core.samplers import KarrasSchedule
from codi_core.tasks import EpisodeKey
from codi_core.training import Trainer, TrainerSettings
from codi_franka.action import ACTION_SPEC
from codi_franka.observation import SHAPES

LATENCY_BAR_MS, TEAM_BAR_MS, TRAINING_BAR_S = 25.0, 200.0, 240.0
GAIN_BAR, EXPONENT_BAR = 30.0, 1.1
SHIPPED_STEPS, SHIPPED_BATCH, SHIPPED_WINDOWS, SHIPPED_WIDTHS = 16_000, 256, 490_000, (64, 128)
"""What the shipped policy of an arm was trained with."""
BASELINE_SECONDS = 12.0
"""No CPU baseline is repeated for longer."""

Run = Callable[[], object]


@attrs.frozen(eq=False)
class Scene:
    """Worlds in the middle of a task, on the CPU.

    Attributes:
        experiment: the task.
        state: of B worlds.
        observation: what is seen there, (B, 1, ...) each.
        worlds: B.
    """

    experiment: Experiment
    state: Any
    observation: Observation
    worlds: int

    def repeated(self, worlds: int) -> Scene:
        """As many worlds, which begin alike in turn."""
        rows = torch.arange(worlds) % self.worlds
        seen = {name: value[rows] for name, value in self.observation.items()}
        return Scene(self.experiment, of_worlds(self.state, rows), seen, worlds)

    def planning(
        self,
        guidance: Guidance,
        steps: int,
        device: str,
        graphs: bool = False,
        precision: str = PRECISIONS[0],
    ) -> Planning:
        """What plans in these worlds, each time with noise of its own."""
        experiment = _on(self.experiment, device, precision)
        planner: Planner = make_planner(experiment, guidance, steps)
        return Planning(self, GraphedPlanner(planner) if graphs else planner, device)

    def evaluating(self, samples: int, device: str) -> Run:
        """What predicts chunks that the base policies might draw; without a cost."""
        experiment = _on(self.experiment, device)
        product, predictor = experiment.product(), experiment.predictor()
        generator = torch.Generator().manual_seed(0)
        flat = torch.randn(self.worlds, samples, product.size, generator=generator).to(device)
        chunks, state = product.decode(flat), to_device(self.state, device)
        return lambda: predictor.predict(state, chunks)


@attrs.frozen(eq=False)
class Planning:
    """Plans in a scene; what is seen there is moved to the device for each."""

    scene: Scene
    planner: Planner
    device: str
    numbers: Iterator[int] = attrs.field(factory=itertools.count)

    def __call__(self) -> Plan:
        """Make a plan."""
        return self.ready()()

    def ready(self) -> Callable[[], Plan]:
        """What makes a plan when all that it depends on is on the device."""
        scene, number = self.scene, next(self.numbers)
        keys = [(0, world, number) for world in range(scene.worlds)]
        context = context_of(self.planner, keys, scene.observation, scene.state, self.device)
        return partial(self.planner.plan, context)


def _on(experiment: Experiment, device: str, precision: str = PRECISIONS[0]) -> Experiment:
    config = attrs.evolve(experiment.config, device=device, precision=precision)
    return attrs.evolve(experiment, config=config)


def driven(
    experiment: Experiment, worlds: int, steps: int, guidance: Guidance, device: str = "cpu"
) -> Scene:
    """Drive worlds for some control steps, by plans on a device."""
    environment = experiment.environment()
    step = environment.reset([EpisodeKey(0, world) for world in range(worlds)])
    planner: Planner = make_planner(_on(experiment, device), guidance, 8)
    for number in range(steps):
        if number % 4 == 0:
            keys = [(0, world, number) for world in range(worlds)]
            context = context_of(planner, keys, with_history(step), step.state, device)
            chunks = to_device(planner.plan(context).chunks, "cpu")
        step = environment.step(tuple(chunk[:, number % 4] for chunk in chunks))
    return Scene(experiment, step.state, with_history(step), worlds)


# -- timing -------------------------------------------------------------------------------------


def timed(run: Run, device: str, repeats: int, seconds: float = np.inf) -> dict[str, float]:
    """Milliseconds of a run, after one or two that do not count."""
    run()
    found: list[float] = []
    began = time.perf_counter()
    if device != "cpu":
        run()
    while len(found) < repeats and (not found or time.perf_counter() - began < seconds):
        settle(device)
        start = time.perf_counter()
        run()
        settle(device)
        found.append(1e3 * (time.perf_counter() - start))
    return spread(found)


def settle(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def inspected(run: Run, device: str) -> dict[str, Any]:
    """How many kernels a run takes on a GPU, how long they alone take, and where the host waits."""
    if torch.device(device).type != "cuda":
        return {}
    torch.cuda.reset_peak_memory_stats()
    ready = run.ready() if isinstance(run, Planning) else run
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        ready()
        torch.cuda.set_sync_debug_mode("default")
    # PyTorch also warns that this mode is a prototype.
    waits = {
        f"{each.filename}:{each.lineno}"
        for each in caught
        if "called a synchronizing" in str(each.message)
    }
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    kernels = [each for each in profile.events() if each.device_type == DeviceType.CUDA]
    return {
        "waits": sorted(waits),
        "kernels": len(kernels),
        "kernels_ms": sum(each.time_range.elapsed_us() for each in kernels) / 1e3,
        "longest": _longest((each.name, each.time_range.elapsed_us()) for each in kernels),
        "peak_mib": torch.cuda.max_memory_allocated() / 2**20,
    }


def _longest(kernels: Iterable[tuple[str, float]], most: int = 12) -> list[dict[str, Any]]:
    """The kernels that take most time together, by name."""
    total: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for name, took in kernels:
        total[name] += took
        count[name] += 1
    return [
        {"name": name, "count": count[name], "ms": took / 1e3}
        for name, took in total.most_common(most)
    ]


def compared(
    make: Callable[[str], Run],
    given: argparse.Namespace,
    make_baseline: Callable[[str], Run] | None,
) -> dict[str, Any]:
    """A run on the device and on the CPU; the baseline may be smaller, or left out."""
    run = make(given.device)
    row = {"device_ms": timed(run, given.device, given.repeats), **inspected(run, given.device)}
    if make_baseline is not None:
        row["cpu_ms"] = timed(make_baseline("cpu"), "cpu", given.repeats, BASELINE_SECONDS)
    return row


def graphed(
    scene: Scene, guidance: Guidance, steps: int, given: argparse.Namespace
) -> dict[str, Any]:
    """Plans replayed as CUDA graphs, and how far they are from others with the same noise."""
    device = given.device
    if torch.device(device).type != "cuda":
        return {}
    replays, plans = (scene.planning(guidance, steps, device, graphs) for graphs in (True, False))
    apart = [float((replays().flat - plans().flat).abs().max()) for _ in range(3)]
    return {"graph_difference": max(apart), "graph_ms": timed(replays, device, given.repeats)}


# -- what is measured ---------------------------------------------------------------------------


def handover(given: argparse.Namespace) -> dict[str, Any]:
    """One world with many samples, and many worlds."""
    experiment = experiments.prepare("franka-handoff", method="codi")
    temperature = experiment.config.temperature

    def guidance(samples: int) -> Guidance:
        return MonteCarloGuidance(IsotropicPosterior(), samples, temperature)

    scene = driven(experiment, min(4, given.worlds), given.drive, guidance(16))
    one, many = scene.repeated(1), scene.repeated(given.worlds)
    few = scene.repeated(min(8, given.worlds))

    def predicts(device: str) -> Run:
        return one.evaluating(given.samples, device)

    def replans(device: str) -> Run:
        return one.planning(guidance(given.samples), 16, device)

    throughput = compared(
        lambda device: many.planning(guidance(64), 8, device),
        given,
        lambda device: few.planning(guidance(64), 8, device),
    )
    throughput |= graphed(many, guidance(64), 8, given)
    throughput["worlds_s"] = 1e3 * many.worlds / _best(throughput)
    throughput["cpu_worlds_s"] = 1e3 * few.worlds / throughput["cpu_ms"]["median"]
    throughput["gain"] = throughput["worlds_s"] / throughput["cpu_worlds_s"]
    return {
        "predictor": compared(predicts, given, predicts) | {"difference": difference(one, given)},
        "replan": compared(replans, given, replans)
        | graphed(one, guidance(given.samples), 16, given),
        "worlds": throughput,
        "precisions": {
            precision: rounded(many, guidance(64), precision, given)
            for precision in PRECISIONS[1:]
            if precision != "tf32" or torch.device(given.device).type == "cuda"
        },
    }


def rounded(
    scene: Scene, guidance: Guidance, precision: str, given: argparse.Namespace
) -> dict[str, Any]:
    """Replans in a precision, and by noise level how far D(x, t) is from that in float32."""
    replans = scene.planning(guidance, 8, given.device, precision=precision)
    row: dict[str, Any] = {"device_ms": timed(replans, given.device, given.repeats)}
    if torch.device(given.device).type == "cuda":
        replays = scene.planning(guidance, 8, given.device, graphs=True, precision=precision)
        row["graph_ms"] = timed(replays, given.device, given.repeats)
    plans = scene.planning(guidance, 8, given.device)().flat
    return row | {"errors": _errors(scene, plans, precision, given.device)}


@torch.no_grad()
def _errors(scene: Scene, plans: Tensor, precision: str, device: str) -> list[dict[str, float]]:
    """How far D(x, t) is from that in float32, x = a + t ε around plans (B, D), normalised."""
    observation, config = to_device(scene.observation, device), scene.experiment.config
    exact, coarse = (
        _on(scene.experiment, device, each).product().denoiser(observation)
        for each in (PRECISIONS[0], precision)
    )
    levels = KarrasSchedule(16, config.sigma_max, config.sigma_min, config.rho).levels(device)[:-1]
    noise = NoiseSource([(0, world, 0) for world in range(scene.worlds)], device)
    found = []
    for level in levels:
        noisy = plans + level * noise.normal(plans.shape[1])
        apart = coarse(noisy, level) - exact(noisy, level)
        rms = float(apart.square().mean().sqrt())
        found.append({"t": float(level), "rms": rms, "largest": float(apart.abs().max())})
    return found


def difference(scene: Scene, given: argparse.Namespace) -> float:
    """How far the device's predicted hands are from the CPU's, at most [m]."""

    def hands(device: str) -> Tensor:
        found: Any = scene.evaluating(given.samples, device)()
        return found.trajectory.hand_position.cpu()

    return float((hands(given.device) - hands("cpu")).abs().max())


def teams(given: argparse.Namespace) -> dict[str, Any]:
    """Replans of navigation-swap, by the number of robots."""
    rows = {}
    for agents in given.agents:
        options = {"agents": agents, "stop_at_contact": False}
        experiment = experiments.prepare("navigation-swap", options)
        guidance = FactoredGuidance(CorrelatedPosterior(), 64, experiment.config.temperature)
        scene = driven(experiment, 1, 1, guidance, given.device)

        def replans(device: str, scene: Scene = scene, guidance: Guidance = guidance) -> Run:
            return scene.planning(guidance, 8, device)

        baseline = None if given.no_baseline else replans
        rows[agents] = compared(replans, given, baseline) | graphed(scene, guidance, 8, given)
    return rows


def exponent(rows: dict[int, Any], column: str) -> float | None:
    """The slope of log time over log N."""
    times = {agents: row[column]["median"] for agents, row in rows.items() if column in row}
    if len(times) < 2:
        return None
    return float(np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0])


def training(given: argparse.Namespace) -> dict[str, Any]:
    """Steps of a training, and how long the shipped one would take."""
    row = {
        "device_step_ms": _training_step(given.device, given.training_steps, given.windows),
        "cpu_step_ms": _training_step("cpu", max(2, given.training_steps // 20), given.windows),
    }
    return row | {
        f"{where}_s_extrapolated": row[f"{where}_step_ms"] * SHIPPED_STEPS / 1e3
        for where in ("device", "cpu")
    }


def _training_step(device: str, steps: int, frames: int) -> float:
    """The median milliseconds of ten steps, over as many as there are."""
    torch.manual_seed(0)
    policy = DiffusionPolicy.build(PolicySpec(ACTION_SPEC, SHAPES), "unet", widths=SHIPPED_WIDTHS)
    number = torch.arange(frames)
    windows = Segments(
        {name: torch.randn(frames, *shape) for name, shape in SHAPES.items()},
        torch.randn(frames, ACTION_SPEC.dimension),
        number,
        torch.zeros_like(number),
        torch.full_like(number, frames - 1),
        ACTION_SPEC.horizon,
    ).to(device)
    settings = TrainerSettings(10**9, SHIPPED_BATCH, log_every=10**9, evaluate_every=10**9)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            policy.to(device), denoising_loss, windows, settings, Path(folder) / "training"
        )
        chunk = max(1, min(10, steps // 3))
        ticks = [_trained(trainer, chunk, device) for _ in range(1 + steps // chunk)]
    return float(np.median(ticks[1:])) / chunk


def _trained(trainer: Trainer[Any, Any], steps: int, device: str) -> float:
    """Milliseconds of so many more steps, without the saving that ends them."""
    ends: list[float] = []
    goal = trainer.step + steps

    def stop() -> bool:
        if trainer.step == goal:
            settle(device)
            ends.append(time.perf_counter())
        return trainer.step == goal

    settle(device)
    began = time.perf_counter()
    trainer.run(stop=stop)
    return 1e3 * (ends[0] - began)


# -- the report ---------------------------------------------------------------------------------


def main() -> int:
    given = _given()
    check_device(given.device)
    torch.set_num_threads(1)
    began = time.perf_counter()
    figures: dict[str, Any] = {"device": device_name(given.device)}
    for part in (handover, teams, training):
        if part.__name__ in given.parts:
            figures[part.__name__] = part(given)
            CONSOLE.print(f"{part.__name__}: {time.perf_counter() - began:.0f} s", highlight=False)
            save(given.json, figures)
    figures["seconds"] = time.perf_counter() - began
    _report(figures, given)
    save(given.json, figures)
    return 0


def _report(figures: dict[str, Any], given: argparse.Namespace) -> None:
    hands, teams_of = figures.get("handover", {}), figures.get("teams", {})
    names = {
        "predictor": f"predictor alone, M {given.samples}, one world",
        "replan": f"replan, M {given.samples}, 16 steps, one world",
        "worlds": f"replan, M 64, 8 steps, {given.worlds} worlds (CPU: {min(8, given.worlds)})",
    }
    rows = [(names[name], row) for name, row in hands.items() if name in names]
    rows += [(f"{agents} robots, M 64, 8 steps", row) for agents, row in teams_of.items()]
    table(
        f"{figures['device']} beside one CPU core [ms]",
        ["", "median", "p95", "graph", "kernels", "kernels' own", "waits", "MiB", "CPU median"],
        [_cells(name, row) for name, row in rows],
    )
    for row in (row for _, row in rows if row.get("waits")):
        CONSOLE.print("waits:", *row["waits"], sep="\n  ", highlight=False)
    if hands:
        _verdicts_of_handovers(hands)
        for precision, row in hands["precisions"].items():
            _report_errors(f"{names['worlds']}, {precision}", row)
    if teams_of:
        _verdicts_of_teams(teams_of, figures)
    if "training" in figures:
        _verdict_of_training(figures["training"])


def _report_errors(what: str, row: dict[str, Any]) -> None:
    times = {name: row[name]["median"] for name in ("device_ms", "graph_ms") if name in row}
    CONSOLE.print(what, *(f"{name} {took:.1f}" for name, took in times.items()), highlight=False)
    table(
        "how far D(x, t) is from that in float32; the data's spread is 1",
        ["t", "rms", "rms / t", "largest"],
        [[f"{each['t']:.3g}", each["rms"], each["rms"] / each["t"], each["largest"]]
         for each in row["errors"]],
    )  # fmt: skip


def _cells(name: str, row: dict[str, Any]) -> list[object]:
    own = [row.get("kernels", "-"), row.get("kernels_ms", "-")]
    beside = [len(row["waits"]) if "waits" in row else "-", round(row.get("peak_mib", 0)) or "-"]
    took = row["device_ms"]
    replayed = row.get("graph_ms", {}).get("median", "-")
    baseline = row.get("cpu_ms", {}).get("median", "-")
    return [name, took["median"], took["p95"], replayed, *own, *beside, baseline]


def _best(row: dict[str, Any]) -> float:
    """The median milliseconds, by a CUDA graph if that is faster."""
    return min(row[name]["median"] for name in ("device_ms", "graph_ms") if name in row)


def _verdicts_of_handovers(hands: dict[str, Any]) -> None:
    for name in ("predictor", "replan"):
        took = _best(hands[name])
        verdict(f"{name} in {took:.1f} ms, at most {LATENCY_BAR_MS:g}", took <= LATENCY_BAR_MS)
    worlds = hands["worlds"]
    verdict(
        f"{worlds['worlds_s']:.0f} worlds a second, {worlds['cpu_worlds_s']:.1f} on one CPU core: "
        f"{worlds['gain']:.0f} times as many, at least {GAIN_BAR:g}",
        worlds["gain"] >= GAIN_BAR,
    )


def _verdicts_of_teams(teams_of: dict[int, Any], figures: dict[str, Any]) -> None:
    largest = max(teams_of)
    for name, column in (("", "device"), (" as a graph", "graph"), (" on the CPU", "cpu")):
        slope = exponent(teams_of, f"{column}_ms")
        figures[f"{column}_exponent"] = slope
        if column != "cpu" and f"{column}_ms" in teams_of[largest]:
            took = teams_of[largest][f"{column}_ms"]["median"]
            text = f"{largest} robots{name} in {took:.0f} ms, at most {TEAM_BAR_MS:g}"
            verdict(text, took <= TEAM_BAR_MS)
        if column != "cpu" and slope is not None:
            verdict(f"exponent{name} {slope:.2f}, at most {EXPONENT_BAR}", slope <= EXPONENT_BAR)
    if "waits" in teams_of[largest]:
        waits = {place for row in teams_of.values() for place in row["waits"]}
        verdict(f"{len(waits)} places of a plan where the host waits, at most 0", not waits)


def _verdict_of_training(row: dict[str, Any]) -> None:
    took = row["device_s_extrapolated"]
    verdict(
        f"a training step in {row['device_step_ms']:.2f} ms (CPU {row['cpu_step_ms']:.0f} ms): "
        f"{SHIPPED_STEPS} steps would take {took:.0f} s, at most {TRAINING_BAR_S:g}",
        took <= TRAINING_BAR_S,
    )


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--parts", nargs="+", default=["handover", "teams", "training"])
    parser.add_argument("--samples", type=int, default=1024, help="M of one world")
    parser.add_argument("--worlds", type=int, default=256)
    parser.add_argument("--agents", type=int, nargs="+", default=[128, 512, 1024], metavar="N")
    parser.add_argument("--drive", type=int, default=40, help="control steps before measuring")
    parser.add_argument("--training-steps", type=int, default=300)
    parser.add_argument("--windows", type=int, default=SHIPPED_WINDOWS)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--no-baseline", action="store_true", help="no teams on the CPU")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
