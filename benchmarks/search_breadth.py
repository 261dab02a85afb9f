"""How far the samples of each estimator go, and what the plans that follow cost.

    python benchmarks/search_breadth.py

The same plans with the same noise are made with each posterior, from states of closed-loop
episodes. At each noise level the samples' predicted trajectories tell how far apart the hands end,
and their weights how many of them count. Beside them stands best-of with as many rollouts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from plans import make_planner, plan, with_history
from reporting import options, save, table
from torch import Tensor

from codi_core import experiments
from codi_core.composition import BestOf, CoordinatedPolicy, make_evaluate
from codi_core.guidance import MonteCarloGuidance
from codi_core.planning import NoiseSource, Plan, PlanContext, Planner
from codi_core.posteriors import (
    CorrelatedPosterior,
    DataCovariancePosterior,
    DenoisedPosterior,
    IsotropicPosterior,
    JacobianPosterior,
    MatchedPosterior,
    PosteriorApproximation,
)
from codi_core.predictors import Prediction, Predictor
from codi_core.tasks import EpisodeKey, Step
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.prediction.kinematic import KinematicPredictor
from codi_franka.robot.cell import ARMS

POSTERIORS: dict[str, PosteriorApproximation] = {
    "isotropic": IsotropicPosterior(),
    "matched": MatchedPosterior(),
    "correlated": CorrelatedPosterior(),
    "data-covariance": DataCovariancePosterior(),
    "denoised": DenoisedPosterior(),
    "jacobian": JacobianPosterior(),
}
EVERY = 15
"""Control steps between the states that are planned from."""
NEAR = 0.2
"""The noise level at which plans are compared with the base policies."""
FIRST = 10_000
"""Keeps the noise of the measured plans apart from that of the episodes."""


class Watched(Predictor):
    """A kinematic predictor that keeps how far apart the samples' hands end, call by call [m]."""

    def __init__(self) -> None:
        self.inner = KinematicPredictor(ARMS)
        self.apart: list[float] = []

    def predict(self, state: Any, chunks: tuple[Tensor, ...]) -> Prediction:
        """What the inner one predicts."""
        prediction = self.inner.predict(state, chunks)
        ends = prediction.trajectory.hand_position[:, :, -1]  # (B, M, N, 3)
        if ends.shape[1] > 1:
            self.apart.append(float(ends.std(1).square().sum(-1).sqrt().mean()))
        return prediction


Make = Callable[[Predictor], Planner]


def guided(like: CoordinatedPolicy, posterior: PosteriorApproximation) -> Make:
    guidance = MonteCarloGuidance(posterior, like.guidance.samples, like.guidance.temperature)
    return lambda predictor: CoordinatedPolicy(
        like.product, guidance, like.sampler, predictor, like.cost
    )


def selecting(like: CoordinatedPolicy) -> Make:
    """best-of with as many rollouts as the steps of ``like`` take together."""
    samples = like.guidance.samples * like.sampler.schedule.steps
    return lambda predictor: BestOf(like.product, like.sampler, predictor, like.cost, samples)


def states(planner: CoordinatedPolicy, worlds: int, seconds: float, seed: int) -> list[Step]:
    """What is seen now and then while the printed estimator acts."""
    environment = FrankaEnvironment(HandoffOptions(), MujocoMaker())
    step, found = environment.reset([EpisodeKey(seed, world) for world in range(worlds)]), []
    for tick in range(round(10 * seconds)):
        if tick % EVERY == 0:
            found.append(step)
        if tick % 4 == 0:
            chunks = plan(planner, step, tick, seed).chunks
        step = environment.step(tuple(chunk[:, tick % 4] for chunk in chunks))
    return found


def measure(
    like: CoordinatedPolicy, make: Make, seen: list[Step], seed: int
) -> dict[str, list[float] | float]:
    """Means over the states; of what is measured on samples, one value a noise level."""
    predictor, found = Watched(), []
    planner = make(predictor)
    for number, step in enumerate(seen):
        predictor.apart = []
        result = plan(planner, step, FIRST + number, seed)
        series = result.diagnostics.series.get("effective_sample_size", ())
        sizes = [float(value.mean()) for value in series]
        found.append((predictor.apart, sizes, *judged(like, step, result)))
    apart, sizes, cost, off = (np.mean(values, 0).tolist() for values in zip(*found, strict=True))
    return {"apart_m": apart, "effective_sample_size": sizes, "cost": cost, "off_policy": off}


def judged(planner: CoordinatedPolicy, step: Step, result: Plan) -> tuple[float, float]:
    """The plan's cost, and how far the base policies would move it.

    The latter is the root mean square of D(a, t) - a at a low noise level, in normalised units.
    """
    noise = NoiseSource([(0, 0, 0)] * len(result.flat))
    context = PlanContext(noise, {}, planner.layout, step.state)
    evaluate = make_evaluate(planner.product, planner.predictor, planner.cost, context)
    denoiser = planner.product.denoiser(with_history(step))
    moved = denoiser(result.flat, torch.tensor(NEAR)) - result.flat
    cost = evaluate(result.flat.unsqueeze(1))
    return float(cost.mean()), float(moved.square().mean().sqrt())


def shown(values: list[float], chosen: list[int]) -> list[float]:
    """Values at the chosen noise levels; best-of has samples at the end alone, and no weights."""
    if len(values) > max(chosen):
        return [values[k] for k in chosen]
    return [float("nan")] * (len(chosen) - len(values)) + values


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    experiment = experiments.prepare("franka-handoff", method="codi")
    temperature = experiment.config.temperature
    printed = MonteCarloGuidance(IsotropicPosterior(), given.samples, temperature)
    planner = make_planner(experiment, printed, given.steps)
    with torch.no_grad():
        seen = states(planner, given.worlds, given.seconds, given.seed)
        ways = {name: guided(planner, posterior) for name, posterior in POSTERIORS.items()}
        ways["best-of"] = selecting(planner)
        figures: dict[str, Any] = {
            name: measure(planner, make, seen, given.seed) for name, make in ways.items()
        }
    levels = planner.sampler.schedule.levels()[:-1].tolist()
    chosen = [int(np.argmin([abs(level - at) for level in levels])) for at in (10.0, 1.0, 0.2)]
    heads = [f"apart at t {levels[k]:.2g} [cm]" for k in chosen]
    rows = [
        [
            name,
            *(100 * value for value in shown(entry["apart_m"], chosen)),
            *shown(entry["effective_sample_size"], chosen),
            entry["cost"],
            entry["off_policy"],
        ]
        for name, entry in figures.items()
    ]
    sizes = [f"n_eff at t {levels[k]:.2g}" for k in chosen]
    title = f"{len(seen) * given.worlds} plans, M {given.samples}, {given.steps} steps"
    table(title, ["estimator", *heads, *sizes, "J of the plan", "off policy"], rows)
    save(given.json, {"levels": levels, **figures})
    return 0


def _given() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--worlds", type=int, default=12, help="episodes (default: 12)")
    parser.add_argument("--seconds", type=float, default=9.0, help="of each (default: 9)")
    parser.add_argument("--samples", type=int, default=32, help="M (default: 32)")
    parser.add_argument("--steps", type=int, default=8, help="denoising steps (default: 8)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
