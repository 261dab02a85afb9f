"""Warm starts: shifted, re-noised, and sometimes cold."""

from __future__ import annotations

import attrs
import pytest
import torch

from codi_core.errors import SpecificationError
from codi_core.guidance import HybridGuidance, LibraryGuidance, MonteCarloGuidance, NoGuidance
from codi_core.posteriors import IsotropicPosterior
from codi_core.samplers import AncestralSampler, KarrasSchedule, WarmStartSampler
from codi_core.samplers.warm_start import shifted_previous
from codi_core.testing import TrajectoryFamily
from tests.core.estimators.problems import KEYS, gaussian_problem

FIRST = AncestralSampler(KarrasSchedule(16))


def with_previous(context, previous, committed=1):
    return attrs.evolve(context, previous=previous, committed=committed)


def test_the_previous_plan_is_shifted_by_agent_and_its_last_action_repeated():
    problem = TrajectoryFamily(agents=2, steps=4, rank=2).problem()
    chunks = [torch.arange(8.0).reshape(1, 4, 2) + 100 * agent for agent in range(2)]
    previous = problem.product.encode(chunks)
    shifted = shifted_previous(with_previous(problem.context(), previous, 2))
    for chunk, original in zip(problem.product.decode(shifted), chunks, strict=True):
        assert torch.equal(chunk[0, :2], original[0, 2:])
        assert torch.equal(chunk[0, 2:], original[0, 3:].expand(2, -1))
    assert torch.equal(shifted_previous(with_previous(problem.context(), previous, 0)), previous)
    assert shifted_previous(with_previous(problem.context(), previous, 4)) is None
    assert shifted_previous(problem.context()) is None


def test_the_first_plan_is_that_of_the_wrapped_sampler():
    problem = gaussian_problem()
    warm = problem.coordinated(NoGuidance(), WarmStartSampler(FIRST)).plan(problem.context(3))
    cold = problem.coordinated(NoGuidance(), FIRST).plan(problem.context(3))
    assert torch.equal(warm.flat, cold.flat)


def test_a_little_noise_keeps_the_plan_and_a_cold_replan_forgets_it():
    """All worlds sit in one mode; with little noise they stay there, cold ones do not."""
    problem = TrajectoryFamily(spread=0.1).problem()
    means = torch.cat([policy.mixture.means[0] for policy in problem.policies]).float()
    previous = means.expand(200, -1)

    def stayed(sigma_warm, cold):
        sampler = WarmStartSampler(FIRST, sigma_warm, cold=cold)
        context = with_previous(problem.context(200), previous, 0)
        plan = problem.coordinated(NoGuidance(), sampler).plan(context)
        near = (problem.endpoints(plan.flat) - problem.endpoints(previous)).norm(dim=-1) < 0.6
        return float(near.all(-1).float().mean()), plan

    kept, plan = stayed(0.3, 0.0)
    assert kept > 0.95 and "cold_replans" not in plan.diagnostics.counts
    forgotten, plan = stayed(0.3, 1.0)
    assert forgotten < 0.4 and plan.diagnostics.counts["cold_replans"] == 200
    some, plan = stayed(0.3, 0.5)
    assert forgotten < some < kept and 70 < plan.diagnostics.counts["cold_replans"] < 130
    loud, _ = stayed(40.0, 0.0)
    assert loud < 0.4


def test_a_replan_costs_its_steps_only():
    problem, steps = gaussian_problem(), 5
    guidance = MonteCarloGuidance(IsotropicPosterior(), 8, problem.temperature)
    planner = problem.coordinated(guidance, WarmStartSampler(FIRST, steps=steps, cold=0.5))
    first = planner.plan(problem.context(4))
    assert first.diagnostics.counts["rollouts"] == 4 * 16 * 8
    again = planner.plan(with_previous(problem.context(4, replan=1), first.flat))
    assert again.diagnostics.counts["rollouts"] == 4 * steps * 8


def test_a_previous_plan_that_is_not_finite_is_forgotten():
    problem = gaussian_problem()
    previous = torch.zeros(2, 6)
    previous[1, 2] = torch.nan
    planner = problem.coordinated(NoGuidance(), WarmStartSampler(FIRST, cold=0.0))
    plan = planner.plan(with_previous(problem.context(2), previous))
    assert torch.isfinite(plan.flat).all() and plan.diagnostics.counts["cold_replans"] == 1


@pytest.mark.parametrize("switch", [0.5, 8.0])
def test_a_world_replanned_alone_or_in_a_batch_agrees(switch):
    """Some worlds are cold, and some stand on the other side of the hybrid's switch."""
    problem = TrajectoryFamily(tolerance=0.3).problem()
    scale = (16, problem.temperature)
    guidance = HybridGuidance(
        LibraryGuidance(*scale), MonteCarloGuidance(IsotropicPosterior(), *scale), switch
    )
    planner = problem.coordinated(guidance, WarmStartSampler(FIRST, cold=0.5))
    previous = problem.oracle.sample(len(KEYS), torch.Generator().manual_seed(1)).float()
    plan = planner.plan(with_previous(problem.context_of(KEYS), previous))
    assert 0 < plan.diagnostics.counts["cold_replans"] < len(KEYS)
    again = planner.plan(with_previous(problem.context_of(KEYS), previous))
    assert torch.equal(plan.flat, again.flat)
    for world, key in enumerate(KEYS):
        context = with_previous(problem.context_of([key]), previous[world : world + 1])
        assert torch.allclose(planner.plan(context).flat[0], plan.flat[world], atol=1e-5)


def test_impossible_warm_starts_are_refused():
    with pytest.raises(SpecificationError, match="sigma_warm"):
        WarmStartSampler(FIRST, sigma_warm=100.0)
    with pytest.raises(ValueError, match="steps"):
        WarmStartSampler(FIRST, steps=0)
