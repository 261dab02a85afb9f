"""CoDi-Indep. against closed forms: agents that are guided apart stay apart."""

from __future__ import annotations

import attrs
import pytest
import torch
from torch import Tensor

from codi_baselines.methods.independent import IndependentGuidance, codi_indep
from codi_core.composition import CoordinatedPolicy
from codi_core.errors import LocalityError, SpecificationError
from codi_core.guidance import FactoredGuidance, LibraryGuidance, MonteCarloGuidance
from codi_core.host.records import MethodParts
from codi_core.planning import Plan
from codi_core.policies import Factor, ProductPolicy
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.testing import (
    ExactPosterior,
    GaussianMixture,
    LocalQuadraticCost,
    Problem,
    blind,
    energy_distance,
    graph_cost,
    single_gaussian,
)

STIFFNESS, GOAL, STILL = 3.0, (1.0, -0.5), (0.2, 0.6)
STEPS = 96
"""Ancestral steps lose variance; so many lose a tenth of it."""
WORLDS = 500


def problem() -> Problem:
    """Two agents with one value each; ½ (a_i - g_i)² for each and ½ k (a_0 - a_1)² together."""
    policies = tuple(
        single_gaussian(torch.tensor([mean]), torch.tensor([[variance]]))
        for mean, variance in ((0.0, 1.0), (0.5, 0.5))
    )
    cost = graph_cost(2, [(0, 1)], STIFFNESS, torch.tensor(GOAL))
    return Problem(policies, cost, temperature=0.7)


def hold(state: object) -> tuple[Tensor, ...]:
    """Both agents stand still at ``STILL``."""
    return tuple(torch.full((WORLDS, 1), value) for value in STILL)


def parts(given: Problem, samples: int = 64) -> MethodParts:
    guidance = MonteCarloGuidance(ExactPosterior(given.product), samples, given.temperature)
    local = LocalQuadraticCost(given.cost, given.product.blocks)
    sampler = AncestralSampler(KarrasSchedule(STEPS))
    return MethodParts(
        given.product, given.predictor, local, guidance, sampler, samples, given.temperature, hold
    )


def plan(given: Problem, method: MethodParts) -> Plan:
    return codi_indep(method).plan(given.context(WORLDS))


def expected(given: Problem, agent: int) -> tuple[float, float]:
    """Mean and variance of π_i ∝ p_i exp(-J_i/λ), the other one standing still."""
    mixture, λ = given.policies[agent].mixture, given.temperature
    mean, variance = float(mixture.means), float(mixture.variances)
    precision = 1 / variance + (1 + STIFFNESS) / λ
    pull = mean / variance + (GOAL[agent] + STIFFNESS * STILL[1 - agent]) / λ
    return pull / precision, 1 / precision


def test_each_agent_has_the_distribution_of_its_own_problem() -> None:
    given = problem()
    flat = plan(given, parts(given, 128)).flat.double()
    for agent in range(2):
        mean, variance = expected(given, agent)
        assert float(flat[:, agent].mean()) == pytest.approx(mean, abs=0.05)
        assert float(flat[:, agent].var()) == pytest.approx(variance, rel=0.25)
    normal = torch.randn(WORLDS, 2, generator=torch.Generator().manual_seed(1)).double()
    wanted = [expected(given, agent) for agent in range(2)]
    exact = torch.stack([m + v**0.5 * normal[:, i] for i, (m, v) in enumerate(wanted)], -1)
    assert float(energy_distance(flat, exact)) < 0.01


def test_agents_are_independent_although_the_cost_couples_them() -> None:
    given = problem()
    method = parts(given)
    flat = plan(given, method).flat
    apart = torch.corrcoef(flat.T)[0, 1]
    joint = CoordinatedPolicy(
        method.product, method.guidance, method.sampler, method.predictor, method.cost
    )
    together = torch.corrcoef(joint.plan(given.context(WORLDS)).flat.T)[0, 1]
    assert abs(float(apart)) < 0.134  # 3 / √500
    assert float(together) > 0.3


def test_an_agent_does_not_see_what_the_others_want() -> None:
    given = problem()
    moved = attrs.evolve(given.cost, target=given.cost.target + torch.tensor([0.0, 5.0, 0.0]))
    changed = attrs.evolve(given, cost=moved)
    one, other = plan(given, parts(given)).flat, plan(changed, parts(changed)).flat
    torch.testing.assert_close(one[:, 0], other[:, 0], rtol=0, atol=1e-5)
    assert float((one[:, 1] - other[:, 1]).abs().min()) > 0.5


def test_rollouts_are_those_of_every_agent() -> None:
    given = problem()
    made = plan(given, parts(given, 16))
    assert made.diagnostics.counts["rollouts"] == WORLDS * STEPS * 2 * 16


def test_a_task_that_weighs_samples_block_by_block_is_guided_alike() -> None:
    given = problem()
    whole = parts(given)
    assert isinstance(whole.guidance, MonteCarloGuidance)
    factored = FactoredGuidance(whole.guidance.posterior, hops=1)
    by_block = plan(given, attrs.evolve(whole, guidance=factored)).flat
    torch.testing.assert_close(by_block, plan(given, whole).flat, rtol=0, atol=0)


def test_what_it_needs_is_named() -> None:
    given = problem()
    whole = parts(given)
    with pytest.raises(SpecificationError, match="`hold`"):
        codi_indep(attrs.evolve(whole, hold=None))
    with pytest.raises(LocalityError, match="QuadraticCost"):
        codi_indep(attrs.evolve(whole, cost=given.cost))
    library = LibraryGuidance(8, 1.0)
    with pytest.raises(SpecificationError, match="--guidance monte-carlo"):
        codi_indep(attrs.evolve(whole, guidance=library))
    both = single_gaussian(torch.zeros(2), torch.eye(2))
    product = ProductPolicy([Factor(both, (0, 1), blind)])
    with pytest.raises(SpecificationError, match="one base policy an agent"):
        codi_indep(attrs.evolve(whole, product=product))


def test_the_guidance_is_zero_where_the_cost_is_flat() -> None:
    given = problem()
    flat_cost = attrs.evolve(given.cost, rows=0 * given.cost.rows + 1e-6)
    local = LocalQuadraticCost(flat_cost, given.product.blocks)
    method = attrs.evolve(parts(given), cost=local)
    unguided = plan(given, method).flat
    mixture = GaussianMixture.gaussian(torch.tensor([0.0, 0.5]), torch.diag(torch.tensor([1, 0.5])))
    drawn = mixture.sample(WORLDS, torch.Generator().manual_seed(3))
    assert float(energy_distance(unguided.double(), drawn.double())) < 0.02
    assert isinstance(codi_indep(method), CoordinatedPolicy)
    assert IndependentGuidance.__name__ in repr(type(codi_indep(method).guidance))
