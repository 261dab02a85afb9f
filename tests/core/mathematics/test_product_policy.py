"""Eq. 13: the product of the base policies and its score."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given

from codi_core.errors import SpecificationError
from codi_core.policies import BasePolicy, Factor, ProductPolicy
from codi_core.testing import (
    MixturePolicy,
    action_spec,
    agent_view,
    blind,
    conditioned_product,
    mixture_product,
)
from tests.strategies import generators, problems, random_mixture, sigmas


class Counting(BasePolicy):
    """Counts the calls of a policy's denoiser."""

    def __init__(self, inner):
        self.inner, self.calls = inner, 0
        self.spec, self.normaliser = inner.spec, inner.normaliser

    def denoiser(self, observation):
        inner = self.inner.denoiser(observation)

        def denoise(noisy, sigma):
            self.calls += 1
            return inner(noisy, sigma)

        return denoise


@given(problem=problems(), sigma=sigmas(), generator=generators())
def test_score_of_the_product_stacks_the_agents_scores(problem, sigma, generator):
    """Eq. 13a-c: the stacked denoiser is that of the enumerated joint distribution."""
    joint = problem.oracle.base
    x = 2 * torch.randn(4, problem.size, generator=generator, dtype=torch.float64)
    level = torch.tensor(sigma, dtype=torch.float64)
    stacked = problem.denoiser()(x, level)
    assert torch.allclose(stacked, joint.denoise(x, level), atol=1e-9)
    scores = [
        policy.mixture.score(part, level)
        for policy, part in zip(problem.policies, x.chunk(len(problem.policies), -1), strict=True)
    ]
    assert torch.allclose((stacked - x) / level**2, torch.cat(scores, -1), atol=1e-6 / sigma**2)


@given(problem=problems(), generator=generators())
def test_log_density_of_the_product_is_the_sum(problem, generator):
    """Eq. 13a: log p^{1:N} = Σ log p^(i)."""
    x = torch.randn(4, problem.size, generator=generator, dtype=torch.float64)
    parts = x.chunk(len(problem.policies), -1)
    total = sum(
        policy.mixture.log_density(part, 0.5)
        for policy, part in zip(problem.policies, parts, strict=True)
    )
    assert torch.allclose(problem.oracle.base.log_density(x, 0.5), total, atol=1e-9)


def make_policy(seed, gain=None):
    mixture = random_mixture(2, 2, torch.Generator().manual_seed(seed))
    return MixturePolicy(mixture, action_spec(2, 1), gain=gain)


def test_agents_that_share_weights_run_as_one_batched_call():
    """One call for the sharing agents gives what separate policies give."""
    shared = Counting(make_policy(0, torch.ones(2, 1).double()))
    other = Counting(make_policy(1, torch.ones(2, 1).double()))
    factors = [
        Factor(policy, (agent,), agent_view(agent))
        for agent, policy in enumerate((shared, other, shared))
    ]
    copies = [
        Factor(make_policy(seed, torch.ones(2, 1).double()), (agent,), agent_view(agent))
        for agent, seed in enumerate((0, 1, 0))
    ]
    observation = {"observed": torch.randn(5, 1, 3, 1, generator=torch.Generator().manual_seed(2))}
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(3))
    levels = torch.linspace(0.1, 4.0, 5)
    together = ProductPolicy(factors).denoiser(observation)
    apart = ProductPolicy(copies).denoiser(observation)
    for sigma in (levels, torch.tensor(0.7)):
        assert torch.allclose(together(x, sigma), apart(x, sigma), atol=1e-6)
    assert (shared.calls, other.calls) == (2, 2)


def test_each_agent_reads_its_own_observation():
    gain = torch.tensor([[1.0], [2.0]]).double()
    product = mixture_product([make_policy(0, gain), make_policy(0, gain)])
    seen = torch.tensor([[[[0.0], [3.0]]], [[[1.0], [-1.0]]]])
    joint = conditioned_product(product, {"observed": seen})
    unmoved = make_policy(0).mixture.mean()
    shift = torch.cat([seen[:, 0, agent].double() @ gain.mT for agent in (0, 1)], -1)
    assert torch.allclose(joint.mean(), unmoved.repeat(2) + shift)
    x = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    level = torch.tensor([0.3, 2.0]).double()
    assert torch.allclose(
        product.denoiser({"observed": seen})(x, level), joint.denoise(x, level), atol=1e-12
    )


def test_decode_and_encode_are_inverse_with_factors_in_any_order():
    """A factor may cover several agents, and factors need not come in the agents' order."""
    pair = MixturePolicy(random_mixture(6, 1, torch.Generator().manual_seed(5)), action_spec(2, 3))
    single = make_policy(6)
    product = ProductPolicy(
        [Factor(pair, (2, 0), blind, action_sizes=(2, 1)), Factor(single, (1,), blind)]
    )
    flat = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(6))
    chunks = product.decode(flat)
    assert [tuple(chunk.shape) for chunk in chunks] == [(3, 4, 2, 1), (3, 4, 2, 1), (3, 4, 2, 2)]
    assert torch.equal(product.encode(chunks), flat)
    assert torch.equal(chunks[1], flat[..., 6:].unflatten(-1, (2, 1)))
    assert torch.equal(chunks[2], flat[..., :6].unflatten(-1, (2, 3))[..., :2])


@pytest.mark.parametrize("sizes", [(2, 2, 2, 2), (2, 1, 2, 1), (3,)])
@pytest.mark.parametrize("shared", [(0, 0, 0, 0), (0, 1, 0, 1), (0, 1, 2, 0)])
def test_grouped_factors_do_what_each_does_alone(sizes, shared):
    """Factors that share a policy are stacked, whatever their order and widths."""
    generator = torch.Generator().manual_seed(1)
    kinds = {}
    for place in range(4):
        key = (shared[place], sizes[place % len(sizes)])
        if key not in kinds:
            mixture = random_mixture(4 * key[1], 2, generator)
            kinds[key] = MixturePolicy(mixture, action_spec(4, key[1]))
    policies = [kinds[shared[place], sizes[place % len(sizes)]] for place in range(4)]
    product = ProductPolicy([Factor(policy, (i,), blind) for i, policy in enumerate(policies)])
    flat, level = torch.randn(3, product.size, generator=generator), torch.tensor([0.2, 1.0, 5.0])
    observation = {"nothing": torch.zeros(3, 1, 0)}
    together = product.denoiser(observation)(flat, level)
    for factor, block, chunk in zip(
        product.factors, product.blocks, product.decode(flat), strict=True
    ):
        alone = factor.policy.denoiser(factor.observe(observation))(flat[:, block], level)
        assert torch.allclose(together[:, block], alone, atol=1e-6)
        assert torch.equal(chunk, factor.decode(flat[:, block])[0])


def test_factors_that_do_not_fit_are_refused_by_name():
    one, longer = (
        make_policy(0),
        MixturePolicy(random_mixture(3, 1, torch.Generator().manual_seed(0)), action_spec(3, 1)),
    )
    with pytest.raises(SpecificationError, match="horizon"):
        ProductPolicy([Factor(one, (0,), blind), Factor(longer, (1,), blind)])
    with pytest.raises(SpecificationError, match="exactly once"):
        ProductPolicy([Factor(one, (0,), blind), Factor(one, (2,), blind)])
    narrow = make_policy(0)
    narrow.spec = attrs.evolve(narrow.spec, sigma_range=(1e-9, 1e-7))
    with pytest.raises(SpecificationError, match="noise levels"):
        ProductPolicy([Factor(one, (0,), blind), Factor(narrow, (1,), blind)])
