"""Laws of guidance that hold for every problem, seed and noise level."""

from __future__ import annotations

import attrs
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.guidance import Chain, Guidance, MonteCarloGuidance, NoGuidance
from codi_core.posteriors import IsotropicPosterior, MatchedPosterior
from codi_core.samplers import AncestralSampler, EulerMaruyamaSampler, KarrasSchedule
from codi_core.testing import (
    ExactGuidance,
    MixturePolicy,
    Oracle,
    Problem,
    QuadraticCost,
    action_spec,
    block_cost,
    joint_mixture,
)
from tests.strategies import generators, problems, random_mixture, random_quadratic, seeds, sigmas

POSTERIORS = st.sampled_from([IsotropicPosterior(), MatchedPosterior(0.7)])
SAMPLERS = st.sampled_from(
    [
        AncestralSampler(KarrasSchedule(6, 10.0, 0.05)),
        EulerMaruyamaSampler(KarrasSchedule(6, 10.0, 0.05)),
    ]
)


@attrs.frozen
class Push(Guidance):
    """Adds a constant to the denoiser, then scales it: a guidance whose order matters."""

    offset: float
    scale: float

    def guide(self, denoiser, evaluate, context):
        return lambda noisy, sigma: self.scale * (denoiser(noisy, sigma) + self.offset)


class PermutedNoise:
    """A noise source whose last axis is seen in another order."""

    def __init__(self, inner, columns):
        self.inner, self.columns = inner, columns
        self.device, self.worlds = inner.device, inner.worlds

    def normal(self, *shape):
        return self.inner.normal(*shape)[..., self.columns]


def guided_value(problem, guidance, noisy, sigma, seed=0):
    context = problem.context(len(noisy), seed)
    guided = guidance.guide(problem.denoiser(), problem.evaluate(), context)
    return guided(noisy, torch.tensor(sigma))


PUSHES = st.builds(Push, st.floats(-2, 2), st.floats(-2, 2))


@given(problem=problems(), sigma=sigmas(), seed=seeds())
def test_identity_guidance_is_an_identity(problem, sigma, seed):
    """Alone, on the left and on the right; and the empty chain is one too."""
    noisy = torch.randn(3, problem.size, generator=torch.Generator().manual_seed(seed))
    denoiser = problem.denoiser()
    assert NoGuidance().guide(denoiser, problem.evaluate(), problem.context(3)) is denoiser
    assert Chain([]).guide(denoiser, problem.evaluate(), problem.context(3)) is denoiser
    guidance = MonteCarloGuidance(IsotropicPosterior(), 8, problem.temperature)
    alone = guided_value(problem, guidance, noisy, sigma)
    assert torch.equal(guided_value(problem, Chain([NoGuidance(), guidance]), noisy, sigma), alone)
    assert torch.equal(guided_value(problem, Chain([guidance, NoGuidance()]), noisy, sigma), alone)


@given(problem=problems(), terms=st.tuples(PUSHES, PUSHES, PUSHES), sigma=sigmas())
def test_chains_are_associative(problem, terms, sigma):
    noisy = torch.ones(2, problem.size)
    first, second, third = terms
    flat = guided_value(problem, Chain(terms), noisy, sigma)
    left = guided_value(problem, Chain([Chain([first, second]), third]), noisy, sigma)
    right = guided_value(problem, Chain([first, Chain([second, third])]), noisy, sigma)
    assert torch.equal(flat, left) and torch.equal(flat, right)
    by_hand = problem.denoiser()(noisy, torch.tensor(sigma))
    for term in terms:
        by_hand = term.scale * (by_hand + term.offset)
    assert torch.equal(flat, by_hand)


@given(problem=problems(), sigma=sigmas(), generator=generators())
def test_guidance_for_two_costs_in_a_chain_is_guidance_for_their_sum(problem, sigma, generator):
    """Exactly so for exact guidance: π ∝ exp(-J₂/λ) (exp(-J₁/λ) p)."""
    second = random_quadratic(problem.size, generator)
    one = problem.oracle
    both = Oracle.of(one.base, problem.cost.plus(second), problem.temperature)
    after = Oracle.of(one.target, second, problem.temperature)
    noisy = torch.randn(3, problem.size, generator=generator, dtype=torch.float64)
    chain = Chain([ExactGuidance(one), ExactGuidance(after)])
    value = guided_value(problem, chain, noisy, sigma)
    assert torch.allclose(value, both.denoise(noisy, sigma), atol=1e-7)


def permuted(problem, order):
    """The same problem with its agents in another order, and the columns' new order."""
    size = problem.size // len(problem.policies)
    columns = torch.cat([torch.arange(size) + agent * size for agent in order])
    cost = problem.cost
    moved = QuadraticCost(cost.rows[:, columns], cost.target, cost.slope[columns], cost.constant)
    policies = tuple(problem.policies[agent] for agent in order)
    return Problem(policies, moved, problem.temperature), columns


@given(problem=problems(), data=st.data(), posterior=POSTERIORS, sampler=SAMPLERS, seed=seeds())
def test_permuting_agents_permutes_the_result(problem, data, posterior, sampler, seed):
    order = data.draw(st.permutations(range(len(problem.policies))))
    other, columns = permuted(problem, order)
    guidance = MonteCarloGuidance(posterior, 8, problem.temperature)
    one = problem.coordinated(guidance, sampler).plan(problem.context(2, seed)).flat
    context = other.context(2, seed)
    context = attrs.evolve(context, noise=PermutedNoise(context.noise, columns))
    two = other.coordinated(guidance, sampler).plan(context).flat
    assert torch.allclose(one[:, columns], two, rtol=1e-3, atol=1e-3)


@given(problem=problems(), data=st.data(), sigma=sigmas())
def test_permuting_agents_permutes_the_exact_solution(problem, data, sigma):
    other, columns = permuted(problem, data.draw(st.permutations(range(len(problem.policies)))))
    x = torch.randn(3, problem.size, generator=torch.Generator().manual_seed(0)).double()
    one, two = problem.oracle, other.oracle
    assert torch.allclose(one.denoise(x, sigma)[:, columns], two.denoise(x[:, columns], sigma))
    assert torch.allclose(one.log_normaliser, two.log_normaliser)


@given(
    problem=problems(),
    posterior=POSTERIORS,
    sampler=SAMPLERS,
    seed=seeds(),
    constant=st.integers(-(2**40), 2**40),
)
def test_adding_a_constant_to_the_cost_changes_nothing(problem, posterior, sampler, seed, constant):
    """Bit for bit where floats represent the sums: costs in 1/64ths, offsets to 1.1e12."""
    guidance = MonteCarloGuidance(posterior, 8, problem.temperature)
    results = []
    for offset in (0, constant):
        policy = problem.coordinated(guidance, sampler)
        policy.cost = lambda flat, offset=offset: (problem.cost(flat) * 64).round() / 64 + offset
        results.append(policy.plan(problem.context(2, seed)).flat)
    assert torch.equal(*results)


@given(problem=problems(), posterior=POSTERIORS, sampler=SAMPLERS, seed=seeds())
def test_infinite_temperature_gives_the_product_policy(problem, posterior, sampler, seed):
    context = problem.context(2, seed)
    noise = context.noise
    guidance = MonteCarloGuidance(posterior, 8, 1e12)
    guided = guidance.guide(problem.denoiser(), problem.evaluate(), context)
    noisy = noise.normal(problem.size)
    for sigma in (0.1, 1.0, 10.0):
        level = torch.tensor(sigma)
        assert torch.allclose(guided(noisy, level), problem.denoiser()(noisy, level), atol=1e-6)


@given(generator=generators(), components=st.integers(1, 3), sigma=sigmas())
def test_a_cost_that_does_not_couple_agents_leaves_them_independent(generator, components, sigma):
    """π is a product again, and guiding jointly is guiding each agent alone."""
    action = action_spec(2, 1)
    policies = tuple(
        MixturePolicy(random_mixture(2, components, generator), action) for _ in range(2)
    )
    costs = [random_quadratic(2, generator) for _ in range(2)]
    joint = Problem(policies, block_cost(costs), 0.7).oracle
    alone = [
        Oracle.of(policy.mixture, cost, 0.7) for policy, cost in zip(policies, costs, strict=True)
    ]
    x = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    stacked = torch.cat(
        [one.denoise(part, sigma) for one, part in zip(alone, x.split(2, -1), strict=True)], -1
    )
    assert torch.allclose(joint.denoise(x, sigma), stacked, atol=1e-8)
    assert joint.covariance()[:2, 2:].abs().max() < 1e-10
    product = joint_mixture([one.target for one in alone])
    assert torch.allclose(joint.target.log_density(x), product.log_density(x), atol=1e-8)
    assert torch.allclose(joint.log_normaliser, sum(one.log_normaliser for one in alone))
