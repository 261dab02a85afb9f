"""Best-of and resampling particles: whole-sampler peers of guidance."""

from __future__ import annotations

import math

import attrs
import pytest
import torch

from codi_core.composition import BestOf, Resampling, Search
from codi_core.composition.particles import sample_many, systematic
from codi_core.costs import CostFunction
from codi_core.guidance import MonteCarloGuidance
from codi_core.posteriors import IsotropicPosterior
from codi_core.samplers import (
    AncestralSampler,
    EulerMaruyamaSampler,
    KarrasSchedule,
    WarmStartSampler,
)
from codi_core.testing import TrajectoryFamily, mode_shares, total_variation
from tests.core.estimators.problems import KEYS, gaussian_problem

SAMPLER = AncestralSampler(KarrasSchedule(24, 40.0, 0.02, 5.0))


def best_of(problem, samples=32, cost=None):
    return BestOf(problem.product, SAMPLER, problem.predictor, cost or problem.cost, samples)


def resampling(problem, samples=32, cost=None, **options):
    return Resampling(
        problem.product,
        SAMPLER.schedule,
        problem.predictor,
        cost or problem.cost,
        samples,
        problem.temperature,
        **options,
    )


def search(problem, samples=16, cost=None):
    return Search(
        problem.product,
        SAMPLER.schedule,
        problem.predictor,
        cost or problem.cost,
        MonteCarloGuidance(IsotropicPosterior(), samples, problem.temperature),
        samples,
        problem.temperature,
    )


METHODS = [best_of, resampling, search]


@pytest.mark.parametrize("kind", [AncestralSampler, EulerMaruyamaSampler])
def test_many_samples_of_a_world_are_independent_samples(kind):
    problem, sampler = gaussian_problem(), kind(KarrasSchedule(96, 40.0, 0.02, 5.0))
    context = problem.context(2)
    samples = sample_many(sampler, problem.denoiser(), 4_000, 6, context).double()
    base = problem.oracle.base
    for world in samples:
        assert torch.allclose(world.mean(0), base.mean(), atol=0.05)
        assert torch.allclose(world.T.cov(), base.covariance(), atol=0.15)
    assert (samples[0] - samples[1]).abs().max() > 0.1


def test_best_of_keeps_the_cheapest_and_pays_m_rollouts():
    problem, seen = gaussian_problem(), []

    class Watched(CostFunction):
        def __call__(self, trajectory):
            seen.append((trajectory, problem.cost(trajectory)))
            return seen[-1][1]

    plan = best_of(problem, 16, Watched()).plan(problem.context(3))
    ((samples, cost),) = seen
    assert torch.allclose(plan.flat, samples[torch.arange(3), cost.argmin(-1)])
    assert plan.diagnostics.counts["rollouts"] == 3 * 16


def test_best_of_gets_cheaper_with_more_samples():
    problem = TrajectoryFamily().problem()
    costs = [
        float(problem.cost(best_of(problem, count).plan(problem.context(32)).flat).mean())
        for count in (1, 8, 64)
    ]
    assert costs[0] > 5 * costs[1] > 10 * costs[2]


def test_best_of_starts_warm():
    problem = gaussian_problem()
    previous = torch.full((2, 6), 3.0)
    context = attrs.evolve(problem.context(2), previous=previous)
    warm = WarmStartSampler(SAMPLER, sigma_warm=0.03, cold=0.0)
    planner = BestOf(problem.product, warm, problem.predictor, problem.cost, 4)
    expected = problem.product.denoiser({})(previous, torch.tensor(0.03))
    assert torch.allclose(planner.plan(context).flat, expected, atol=0.5)


def test_particles_converge_to_pi():
    """Moments of 1 500 worlds with 64 particles; ancestral steps narrow the covariance a little."""
    problem = gaussian_problem(temperature=1.0)
    plan = resampling(problem, 64).plan(problem.context(1_500))
    flat, oracle = plan.flat.double(), problem.oracle
    assert torch.allclose(flat.mean(0), oracle.mean(), atol=0.1)
    assert torch.allclose(flat.T.cov(), oracle.covariance(), atol=0.15)
    assert (oracle.mean() - oracle.base.mean()).abs().max() > 0.2
    assert plan.diagnostics.counts["rollouts"] == 1_500 * 64 * 24


def test_particles_find_the_combinations_of_modes_that_meet():
    problem = TrajectoryFamily(tolerance=0.15).problem()
    flat = resampling(problem, 64).plan(problem.context(300)).flat
    pair = problem.oracle.groups[0]
    shares = mode_shares(flat, pair.base)
    assert total_variation(shares, pair.target.log_weights.exp()) < 0.15
    assert float(problem.cost(flat).mean()) < 2.5 * float(problem.oracle.expected_cost())


def test_resampling_on_the_way_helps():
    """Against importance sampling at the end alone, which share = 0 is."""
    problem = TrajectoryFamily(agents=4, tolerance=0.2).problem()
    reached = [
        float(problem.cost(resampling(problem, 32, share=s).plan(problem.context(48)).flat).mean())
        for s in (0.0, 0.5)
    ]
    assert reached[1] < 0.7 * reached[0]


def test_survivors_are_in_proportion_to_their_weights():
    weights = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0]]).double()
    survivors = systematic(weights, torch.tensor([[0.3], [0.99]]))
    assert survivors.tolist() == [[0, 0, 1, 2], [3, 3, 3, 3]]
    generator = torch.Generator().manual_seed(0)
    raw = torch.rand(1, 10, generator=generator).double()
    raw = (raw / raw.sum()).expand(2_000, -1)
    survivors = systematic(raw, torch.rand(2_000, 1, generator=generator))
    counts = torch.nn.functional.one_hot(survivors, 10).sum(1).double()
    assert (counts - 10 * raw).abs().max() <= 1 + 1e-9
    assert torch.allclose(counts.mean(0), 10 * raw[0], atol=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_costs_without_value(method, bad):
    """Half of the samples of one world, all of another: plans stay finite."""
    problem = gaussian_problem()

    class Broken(CostFunction):
        def __call__(self, trajectory):
            cost = problem.cost(trajectory)
            cost[0, ::2], cost[1] = bad, bad
            return cost

    plan = method(problem, 16, Broken()).plan(problem.context(3))
    assert torch.isfinite(plan.flat).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_world_planned_alone_or_in_a_batch_agrees(method):
    problem = TrajectoryFamily(tolerance=0.3).problem()
    planner = method(problem, 16)
    together = planner.plan(problem.context_of(KEYS)).flat
    assert torch.equal(together, planner.plan(problem.context_of(KEYS)).flat)
    for row, key in zip(together, KEYS, strict=True):
        alone = planner.plan(problem.context_of([key])).flat[0]
        assert torch.allclose(row, alone, atol=1e-5)
