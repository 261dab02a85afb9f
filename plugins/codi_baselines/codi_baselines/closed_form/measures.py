"""How far an estimate, and the samples drawn with it, are from the exact solution."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.composition import make_evaluate
from codi_core.guidance import Guidance
from codi_core.samplers import KarrasSchedule
from codi_core.testing import TrajectoryProblem, energy_distance, mode_shares, total_variation

REFERENCE = 1000
"""Exact draws that samples are compared with."""

REPEATS = 64
"""Sets of exact draws that show how large a distance chance alone makes."""

EXCLUDED = 1e-3
"""Mode combinations of less weight in π count as wrong."""

NEAR_ZERO = 1e-2
"""The noise level at which samples are told apart by mode: low-rank modes have no density at 0."""


def guidance_error(
    problem: TrajectoryProblem,
    guidance: Guidance,
    schedule: KarrasSchedule,
    sigma: float,
    worlds: int,
    seed: int,
) -> float:
    """The relative error of an estimate of g^J at one noise level, √(Σ‖ĝ - g‖²/Σ‖g‖²).

    It is measured where the exact sampler passes: at draws of π with noise.
    """
    generator = torch.Generator().manual_seed(seed)
    clean = problem.oracle.sample(worlds, generator)
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    noisy, level = (clean + sigma * noise).float(), torch.tensor(sigma)
    levels = (schedule.sigma_min, schedule.sigma_max)
    context = attrs.evolve(problem.context(worlds, seed), sigma_range=levels)
    denoiser = problem.denoiser()
    evaluate = make_evaluate(problem.product, problem.predictor, problem.cost, context)
    with torch.no_grad():
        guided = guidance.guide(denoiser, evaluate, context)
        estimate = (guided(noisy, level) - denoiser(noisy, level)).double()
        exact = problem.oracle.shift(noisy.double(), sigma)
    return float(((estimate - exact).square().sum() / exact.square().sum()).sqrt())


def endpoint_distance(problem: TrajectoryProblem, flat: Tensor, exact: Tensor) -> float:
    """The energy distance of final positions between samples and exact draws, (…, D) each."""
    first, second = problem.endpoints(flat.double()), problem.endpoints(exact.double())
    return float(energy_distance(first.flatten(1), second.flatten(1)))


def mode_distance(problem: TrajectoryProblem, flat: Tensor) -> float:
    """The total variation between the samples' mode combinations and π's, mean over groups."""
    oracle = problem.oracle
    distances = [
        total_variation(mode_shares(part, group.base), group.target.log_weights.exp())
        for group, part in zip(oracle.groups, oracle.split(flat.double()), strict=True)
    ]
    return float(torch.stack(distances).mean())


def mode_floor(problem: TrajectoryProblem, count: int, seed: int) -> float:
    """What :func:`mode_distance` is on average for ``count`` exact draws: chance alone."""
    generator = torch.Generator().manual_seed(seed)
    distances = []
    for group in problem.oracle.groups:
        weights = group.target.log_weights.exp()
        drawn = torch.multinomial(
            weights.expand(REPEATS, -1), count, replacement=True, generator=generator
        )
        shares = torch.nn.functional.one_hot(drawn, len(weights)).double().mean(1)
        distances.append(total_variation(shares, weights).mean())
    return float(torch.stack(distances).mean())


def wrong_modes(problem: TrajectoryProblem, flat: Tensor) -> float:
    """The share of samples with a combination of modes that π all but excludes."""
    wrong = torch.zeros(len(flat), dtype=torch.bool)
    oracle = problem.oracle
    for group, part in zip(oracle.groups, oracle.split(flat.double()), strict=True):
        mode = group.base.responsibilities(part, NEAR_ZERO).argmax(-1)
        wrong |= group.target.log_weights.exp()[mode] < EXCLUDED
    return float(wrong.double().mean())
