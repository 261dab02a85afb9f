"""Checks that a part keeps the contract of its interface: one call in a plugin author's tests.

Each raises a :class:`~codi_core.testing.ConformanceError`, whose message says what is wrong and
what is expected.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.costs import CostFunction, CostTerms
from codi_core.guidance import Guidance
from codi_core.planning import Denoiser, Evaluate, Observation, PlanContext
from codi_core.policies import BasePolicy, PolicySpec
from codi_core.posteriors import PosteriorApproximation, PosteriorQuery, PosteriorSamples
from codi_core.predictors.axes import fields
from codi_core.samplers import Sampler, Schedule
from codi_core.testing.costs import linear_cost
from codi_core.testing.policies import single_gaussian
from codi_core.testing.problem import Problem
from codi_core.testing.requirement import require
from codi_core.testing.trajectory_parts import flipped, worlds_and_samples

WORLDS = 3
TOLERANCE = 1e-4


def check_base_policy(policy: BasePolicy, observation: Observation | None = None) -> None:
    """Check shapes, batching, noise levels, differentiability and normalisation of a policy.

    Args:
        policy: the base policy.
        observation: named tensors (3, H, ...) in physical units; random ones by default.
    """
    name = type(policy).__name__
    spec = getattr(policy, "spec", None)
    require(isinstance(spec, PolicySpec), f"{name}.spec must be a PolicySpec, not {spec!r}")
    assert isinstance(spec, PolicySpec)
    generator = torch.Generator().manual_seed(0)
    if observation is None:
        observation = {
            key: torch.randn(WORLDS, spec.history, *shape, generator=generator)
            for key, shape in spec.observation.items()
        }
    actions = torch.randn(WORLDS, spec.action.horizon, spec.action.dimension, generator=generator)
    back = policy.normaliser.decode(policy.normaliser.encode(actions))
    require(_close(back, actions), f"{name}.normaliser: decode(encode(a)) is not a")
    denoiser = policy.denoiser(observation)
    noisy = torch.randn(WORLDS, 2, spec.action.size, generator=generator)
    low, high = spec.sigma_range
    one = torch.tensor(min(max(1.0, low), high))
    with torch.no_grad():
        for level in (low, high, float(one)):
            _check_level(name, denoiser, noisy, torch.tensor(level))
        expected = denoiser(noisy, one)
        for world in range(WORLDS):
            row = slice(world, world + 1)
            alone = policy.denoiser({key: value[row] for key, value in observation.items()})
            require(
                _close(alone(noisy[row], one), expected[row]),
                f"{name}: a world denoised alone differs from the same world in a batch",
            )
    point = noisy[:, 0].clone().requires_grad_()
    require(
        denoiser(point, one).requires_grad,
        f"{name}: the denoiser is not differentiable in a_t (does it detach, or use no_grad?)",
    )


def _check_level(name: str, denoiser: Denoiser, noisy: Tensor, sigma: Tensor) -> None:
    found = denoiser(noisy, sigma)
    at = f"at sigma {float(sigma):g}"
    require(
        found.shape == noisy.shape,
        f"{name}: the denoiser maps {tuple(noisy.shape)} to {tuple(found.shape)} {at}; "
        "it must keep the shape, with any axes between worlds and values",
    )
    require(torch.isfinite(found).all(), f"{name}: the denoised chunk is not finite {at}")
    require(_close(denoiser(noisy, sigma), found), f"{name}: two equal calls differ {at}")
    first = denoiser(noisy[:, 0], sigma)
    require(_close(first, found[:, 0]), f"{name}: (B, D) and (B, M, D) disagree {at}")
    many = denoiser(noisy, sigma.expand(len(noisy)))
    require(_close(many, found), f"{name}: sigma as () and as (B,) disagree {at}")


def check_cost_function(cost: CostFunction, trajectory: Any) -> None:
    """Check the shape of a cost, that it is pure, and that it treats each sample on its own.

    Args:
        cost: the cost function.
        trajectory: an example as the task's predictor returns it, of several samples; what its
            tensors start with says :func:`codi_core.predictors.axes_of`.
    """
    name, before = type(cost).__name__, copy.deepcopy(trajectory)
    shape = worlds_and_samples(trajectory)
    values: object = cost(trajectory)
    require(
        isinstance(values, Tensor) and values.shape == shape,
        f"{name} returned {_described(values)}; it must return a tensor of shape {tuple(shape)}, "
        "one cost for each of the (worlds, samples) trajectories",
    )
    assert isinstance(values, Tensor)
    require(values.is_floating_point(), f"{name} returned {values.dtype}, not floating point")
    require(not torch.isnan(values).all(), f"{name} is NaN for all samples")
    require(_same(trajectory, before), f"{name} changed the trajectory that it was given")
    require(_close(cost(trajectory), values), f"{name}: two equal calls differ")
    turned = cost(flipped(trajectory, "M"))
    require(
        _close(turned, values.flip(1)),
        f"{name}: a sample's cost depends on the other samples, or on its place among them",
    )
    turned = cost(flipped(trajectory, "B"))
    require(_close(turned, values.flip(0)), f"{name}: a world's cost depends on other worlds")


def check_posterior(posterior: PosteriorApproximation) -> None:
    """Check draws given a_t: shapes, all noise levels, noise streams, batching and their mean."""
    name, problem = type(posterior).__name__, _problem()
    noisy = 2 * torch.randn(WORLDS, 4, generator=torch.Generator().manual_seed(1))

    def draw(rows: slice, sigma: Tensor, count: int, seed: int = 0) -> PosteriorSamples:
        context = _context(problem, rows, seed)
        denoiser, points = problem.denoiser(), noisy[rows]
        with torch.no_grad():
            query = PosteriorQuery(points, sigma, denoiser(points, sigma), denoiser, context)
            return posterior.draw(query, count)

    every = slice(0, WORLDS)
    for sigma in (torch.tensor(0.05), torch.tensor(40.0), torch.tensor([0.1, 1.0, 10.0])):
        for count in (1, 5):
            _check_draws(name, draw(every, sigma, count), (WORLDS, count, 4), sigma)
    one = torch.tensor(1.0)
    samples = draw(every, one, 5).samples
    require(
        torch.equal(samples, draw(every, one, 5).samples),
        f"{name}: one seed gives two results: draw noise from query.context.noise only",
    )
    require(
        not torch.equal(samples, draw(every, one, 5, seed=1).samples),
        f"{name}: another seed changes nothing: draw noise from query.context.noise",
    )
    for world in range(WORLDS):
        row = slice(world, world + 1)
        require(
            _close(draw(row, one, 5).samples, samples[row]),
            f"{name}: a world drawn alone differs from the same world in a batch",
        )
    many = draw(every, one, 4096)
    given = many.log_weights if many.log_weights is not None else torch.zeros(WORLDS, 4096)
    mean = (given.softmax(-1).unsqueeze(-1) * many.samples).sum(1)
    miss = (mean - problem.denoiser()(noisy, one)).abs().max()
    require(
        miss < 0.3,
        f"{name}: the draws' mean misses E[a | a_t] (query.denoised) by {float(miss):.2g} "
        "for unit Gaussian data at sigma 1",
    )


def _check_draws(name: str, drawn: PosteriorSamples, shape: tuple[int, ...], sigma: Tensor) -> None:
    at = f"at sigma {sigma.tolist()}"
    require(
        drawn.samples.shape == shape,
        f"{name} drew {tuple(drawn.samples.shape)} {at}; wanted are {shape} = (B, M, D)",
    )
    require(torch.isfinite(drawn.samples).all(), f"{name}: a draw is not finite {at}")
    if drawn.log_weights is not None:
        require(
            drawn.log_weights.shape == shape[:2],
            f"{name}: log_weights {tuple(drawn.log_weights.shape)} must be {shape[:2]} = (B, M)",
        )


def check_sampler(sampler: Sampler) -> None:
    """Check a sampler's noise levels, noise streams and batching, and what it samples."""
    name, problem = type(sampler).__name__, _problem()
    schedule = getattr(sampler, "schedule", None)
    require(isinstance(schedule, Schedule), f"{name}.schedule must be a Schedule of noise levels")
    assert isinstance(schedule, Schedule)
    seen: list[Tensor] = []

    def constant(noisy: Tensor, sigma: Tensor) -> Tensor:
        seen.append(sigma)
        return torch.full_like(noisy, 0.7)

    every = slice(0, WORLDS)
    with torch.no_grad():
        flat = sampler.sample(constant, 4, _context(problem, every))
        require(flat.shape == (WORLDS, 4), f"{name} returned {tuple(flat.shape)}, not (B, size)")
        require(
            _close(flat, torch.full_like(flat, 0.7)),
            f"{name}: with a denoiser that always says 0.7, the sample must be 0.7: the last step "
            "must end without noise in the denoised chunk",
        )
        late = attrs.evolve(_context(problem, every), deadline=time.monotonic())
        require(
            _close(sampler.sample(constant, 4, late), flat),
            f"{name}: with a deadline that has passed it must still return a denoised chunk",
        )
        low, high = schedule.sigma_min * (1 - 1e-4), schedule.sigma_max * (1 + 1e-4)
        require(
            all(bool(((level >= low) & (level <= high)).all()) for level in seen),
            f"{name} asked for a noise level outside its schedule's [{schedule.sigma_min}, "
            f"{schedule.sigma_max}]",
        )
        _check_sampled(name, sampler, problem)


def _check_sampled(name: str, sampler: Sampler, problem: Problem) -> None:
    denoiser, every = problem.denoiser(), slice(0, WORLDS)
    flat = sampler.sample(denoiser, 4, _context(problem, every))
    again = sampler.sample(denoiser, 4, _context(problem, every))
    require(torch.equal(flat, again), f"{name}: one seed gives two results: use context.noise")
    other = sampler.sample(denoiser, 4, _context(problem, every, 1))
    require(not torch.equal(flat, other), f"{name}: another seed changes nothing")
    for world in range(WORLDS):
        row = slice(world, world + 1)
        alone = sampler.sample(denoiser, 4, _context(problem, row))
        require(
            _close(alone, flat[row]),
            f"{name}: a world sampled alone differs from the same world in a batch",
        )
    many = sampler.sample(denoiser, 4, _context(problem, slice(0, 512)))
    require(
        many.mean(0).abs().max() < 0.3,
        f"{name}: samples of N(0, I) have the mean {_rounded(many.mean(0))}",
    )
    require(
        ((many.std(0) > 0.5) & (many.std(0) < 1.5)).all(),
        f"{name}: samples of N(0, I) have the standard deviations {_rounded(many.std(0))}",
    )


def check_guidance(guidance: Guidance) -> None:
    """Check a guidance's laws: constants don't guide, costs fall, lost samples are survived."""
    name, problem = type(guidance).__name__, _problem()
    noisy = torch.randn(WORLDS, 4, generator=torch.Generator().manual_seed(2))

    def shift(evaluate: Evaluate, rows: slice, sigma: float, seed: int = 0) -> Tensor:
        context, denoiser = _context(problem, rows, seed), problem.denoiser()
        level, points = torch.tensor(sigma), noisy[rows]
        with torch.no_grad():
            local = _Indivisible(evaluate)
            guided = guidance.guide(denoiser, local, context)(points, level)
            require(
                guided.shape == points.shape,
                f"{name}: the guided denoiser maps {tuple(points.shape)} to {tuple(guided.shape)}",
            )
            return guided - denoiser(points, level)

    scale = float(getattr(guidance, "temperature", 1.0))

    def linear(flat: Tensor) -> Tensor:
        return scale * flat.sum(-1)

    every = slice(0, WORLDS)
    for sigma in (0.05, 1.0, 40.0):
        found = shift(linear, every, sigma)
        require(torch.isfinite(found).all(), f"{name}: not finite at sigma {sigma}")
        flat = shift(lambda samples: 0.0 * samples.sum(-1) + 3.0, every, sigma)
        require(
            flat.abs().max() < TOLERANCE * max(1.0, sigma),
            f"{name}: a constant cost guides at sigma {sigma}",
        )
    found = shift(linear, every, 1.0)
    raised = shift(lambda samples: linear(samples) + 2.0 * scale, every, 1.0)
    require(_close(raised, found, 1e-2), f"{name}: adding a constant to the cost changes it")
    require(torch.equal(shift(linear, every, 1.0), found), f"{name}: one seed gives two results")
    many = torch.stack([shift(linear, every, 1.0, seed).sum(-1) for seed in range(16)])
    require(
        many.mean() <= TOLERANCE,
        f"{name}: guidance raises the cost (by {float(many.mean()):.2g} λ on average for a linear "
        "cost): is the sign of the weights or of the gradient wrong?",
    )
    for world in range(WORLDS):
        row = slice(world, world + 1)
        require(
            _close(shift(linear, row, 1.0), found[row]),
            f"{name}: a world guided alone differs from the same world in a batch",
        )
    for lost in (float("nan"), float("inf")):
        survived = shift(lambda samples: linear(samples) * 0 + lost, every, 1.0)  # noqa: B023
        require(
            torch.isfinite(survived).all(),
            f"{name}: costs that are all {lost} make the guided chunk not finite",
        )


@attrs.frozen
class _Indivisible:
    """Any cost of the two agents as an evaluation of one term, which involves both."""

    evaluate: Evaluate

    def __call__(self, flat: Tensor) -> Tensor:
        return self.evaluate(flat)

    def terms(self, flat: Tensor) -> CostTerms:
        values, world = self.evaluate(flat), torch.arange(len(flat))
        return CostTerms(values, world, torch.tensor([[0, 1]]).expand(len(flat), -1), len(flat))


def _problem() -> Problem:
    identity = torch.eye(2, dtype=torch.float64)
    policy = single_gaussian(torch.zeros(2).double(), identity, horizon=2)
    return Problem((policy, policy), linear_cost(torch.zeros(4).double()), 1.0)


def _context(problem: Problem, worlds: slice, seed: int = 0) -> PlanContext:
    return problem.context_of([(seed, world, 0) for world in range(worlds.start, worlds.stop)])


def _close(first: Tensor, second: Tensor, tolerance: float = TOLERANCE) -> bool:
    return torch.allclose(
        first.double(), second.double(), rtol=tolerance, atol=tolerance, equal_nan=True
    )


def _rounded(values: Tensor) -> list[float]:
    return [round(float(value), 2) for value in values]


def _described(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
    pairs = zip(fields(first).values(), fields(second).values(), strict=True)
    return all(_same(*pair) for pair in pairs)
