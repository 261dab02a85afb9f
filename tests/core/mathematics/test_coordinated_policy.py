"""The whole composition against the exact π: Eq. 7, 11-13 and 17 together."""

from __future__ import annotations

import pytest
import torch

from codi_core.errors import CostError, SpecificationError
from codi_core.guidance import MonteCarloGuidance, NoGuidance
from codi_core.posteriors import IsotropicPosterior
from codi_core.samplers import AncestralSampler, EulerMaruyamaSampler, KarrasSchedule
from codi_core.testing import (
    ExactGuidance,
    ExactPosterior,
    MixturePolicy,
    Problem,
    TrajectoryFamily,
    action_spec,
    coupling_cost,
    energy_distance,
    mode_shares,
    propagate,
    sampler_moments,
    total_variation,
)
from tests.strategies import random_mixture, random_quadratic

SAMPLERS = [AncestralSampler, EulerMaruyamaSampler]


def gaussian_problem():
    """Two agents that read two values each, coupled by a quadratic cost."""
    generator, action = torch.Generator().manual_seed(0), action_spec(2, 1)
    policies = tuple(MixturePolicy(random_mixture(2, 1, generator), action) for _ in range(2))
    cost = random_quadratic(4, generator).plus(coupling_cost(2, torch.eye(2).double(), 3.0))
    return Problem(policies, cost, 1.0)


@pytest.mark.parametrize("sampler_type", SAMPLERS)
def test_exact_guidance_reaches_the_exact_moments(sampler_type):
    """No Monte Carlo at all: the moments of the planned chunks, propagated through plan().

    The mean is exact; the covariance errs by O(step), 5 % at 256 steps with ancestral noise, and
    so extrapolating from two step sizes leaves an error of the second order.
    """
    problem = gaussian_problem()
    oracle = problem.oracle

    def plan_moments(steps):
        sampler = sampler_type(KarrasSchedule(steps, 80.0, 0.002, 7.0))
        planner = problem.coordinated(ExactGuidance(oracle), sampler)
        context, impulses = problem.context(), 4 * (steps + 1)
        return propagate(lambda context: planner.plan(context).flat, context, impulses)

    coarse, fine = plan_moments(128), plan_moments(256)
    assert torch.allclose(fine.mean, oracle.mean(), atol=1e-3)
    assert torch.allclose(fine.covariance, oracle.covariance(), atol=0.015)
    extrapolated = 2 * fine.covariance - coarse.covariance
    assert torch.allclose(extrapolated, oracle.covariance(), atol=1e-3)
    # The coupling is there to be found: the agents are correlated, and the base is far away.
    assert oracle.covariance()[:2, 2:].abs().max() > 0.05
    assert (oracle.mean() - oracle.base.mean()).abs().max() > 0.2


@pytest.mark.parametrize("sampler_type", SAMPLERS)
def test_monte_carlo_guidance_with_the_exact_posterior_samples_pi(sampler_type):
    """Within the statistics of 1 500 worlds (mean ±0.06, covariance ±0.08) at M = 128."""
    problem = gaussian_problem()
    schedule = KarrasSchedule(48, 40.0, 0.01, 7.0)
    guidance = MonteCarloGuidance(ExactPosterior(problem.product), 128, problem.temperature)
    plan = problem.coordinated(guidance, sampler_type(schedule)).plan(problem.context(1_500))
    flat, oracle = plan.flat.double(), problem.oracle
    assert torch.allclose(flat.mean(0), oracle.mean(), atol=0.06)
    assert torch.allclose(flat.T.cov(), oracle.covariance(), atol=0.08)


def test_without_guidance_the_product_policy_is_sampled():
    problem = gaussian_problem()
    sampler = AncestralSampler(KarrasSchedule(64, 40.0, 0.01, 7.0))
    plan = problem.coordinated(NoGuidance(), sampler).plan(problem.context(3_000))
    base = problem.oracle.base
    expected = sampler_moments(sampler, base.denoise, 4)
    assert torch.allclose(plan.flat.double().mean(0), base.mean(), atol=0.05)
    assert torch.allclose(plan.flat.double().T.cov(), expected.covariance, atol=0.04)
    assert torch.allclose(expected.covariance, base.covariance(), rtol=0.15, atol=1e-6)


def test_only_combinations_of_modes_that_meet_are_planned():
    """A trajectory family: what guidance must do is choose modes jointly."""
    problem = TrajectoryFamily(tolerance=0.15).problem()
    guidance = MonteCarloGuidance(ExactPosterior(problem.product), 256, problem.temperature)
    sampler = AncestralSampler(KarrasSchedule(32, 40.0, 0.02, 5.0))
    flat = problem.coordinated(guidance, sampler).plan(problem.context(400)).flat
    base_plan = problem.coordinated(NoGuidance(), sampler).plan(problem.context(400)).flat
    pair = problem.oracle.groups[0]
    exact = pair.target.log_weights.exp()
    assert total_variation(mode_shares(flat, pair.base), exact) < 0.12
    assert total_variation(mode_shares(base_plan, pair.base), exact) > 0.5
    reference = problem.oracle.sample(1_500, torch.Generator().manual_seed(1))
    assert energy_distance(flat, reference) < 0.1 * energy_distance(base_plan, reference)
    assert float(problem.cost(flat).mean()) < 3 * float(problem.oracle.expected_cost())
    ends = problem.endpoints(flat)
    assert (ends[:, 0] - ends[:, 1]).norm(dim=-1).median() < 3 * 0.15


def test_eight_agents_in_256_dimensions_are_coordinated():
    problem = TrajectoryFamily(agents=8, steps=16, tolerance=0.2).problem()
    guidance = MonteCarloGuidance(ExactPosterior(problem.product), 256, problem.temperature)
    sampler = AncestralSampler(KarrasSchedule(20, 40.0, 0.02, 5.0))
    flat = problem.coordinated(guidance, sampler).plan(problem.context(30)).flat
    assert flat.shape == (30, 256)
    reached = float(problem.cost(flat).mean() / problem.temperature)
    unguided = float(problem.oracle.unguided_cost() / problem.temperature)
    assert reached < 0.15 * unguided


def test_a_schedule_outside_the_policies_range_is_refused():
    problem = gaussian_problem()
    with pytest.raises(SpecificationError, match="range"):
        problem.coordinated(NoGuidance(), AncestralSampler(KarrasSchedule(4, 1e7, 0.05)))


def test_wrong_shapes_of_costs_are_named():
    problem = gaussian_problem()
    guidance = MonteCarloGuidance(IsotropicPosterior(), 8, 1.0)
    planner = problem.coordinated(guidance, AncestralSampler(KarrasSchedule(2)))
    planner.cost = lambda flat: flat
    with pytest.raises(CostError, match=r"\(3, 8, 4\).*\(3, 8\)"):
        planner.plan(problem.context(3))
