"""Eq. 16 and 30-36: mean and covariance of the posterior p(a | a_t)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from codi_core.posteriors import IsotropicPosterior, MatchedPosterior, PosteriorQuery
from codi_core.testing import ExactPosterior, Problem, linear_cost, single_gaussian
from tests.strategies import generators, mixtures, problems, sigmas


def query_of(problem, noisy, sigma, seed=0):
    denoiser, level = problem.denoiser(), torch.as_tensor(sigma)
    context = problem.context(len(noisy), seed)
    return PosteriorQuery(noisy, level, denoiser(noisy, level), denoiser, context)


@given(mixture=mixtures(), sigma=sigmas(), generator=generators())
def test_posterior_by_bayes_rule(mixture, sigma, generator):
    """p(a | a_t) ∝ p(a) q_t(a_t | a): compared between pairs of points, where Z cancels."""
    noisy = 2 * torch.randn(mixture.size, generator=generator, dtype=torch.float64)
    posterior = mixture.posterior(noisy, sigma)
    if mixture.variances.shape[-1] < mixture.size:
        # No density: compare the means with the denoiser only.
        assert torch.allclose(posterior.mean(), mixture.denoise(noisy, sigma), atol=1e-9)
        return
    a = posterior.sample(8, generator)
    joint = mixture.log_density(a) - 0.5 * ((noisy - a) / sigma).square().sum(-1)
    difference = posterior.log_density(a) - joint
    assert torch.allclose(difference, difference[:1].expand(8), rtol=1e-6, atol=1e-6)


# torch compiles rules of forward-mode differentiation on first use, and warns about how.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@given(problem=problems(), sigma=sigmas(), generator=generators())
def test_mean_and_covariance(problem, sigma, generator):
    """Eq. 16 with the Jacobian by automatic differentiation of the product's denoiser."""
    noisy = 2 * torch.randn(1, problem.size, generator=generator, dtype=torch.float64)
    level = torch.tensor(sigma, dtype=torch.float64)
    denoiser, joint = problem.denoiser(), problem.oracle.base
    posterior = joint.posterior(noisy[0], sigma)

    score = (denoiser(noisy, level) - noisy) / level**2
    assert torch.allclose(noisy + level**2 * score, posterior.mean()[None], atol=1e-7)

    def score_of(point):
        return ((denoiser(point[None], level) - point) / level**2)[0]

    jacobian = torch.func.jacrev(score_of)(noisy[0])
    identity = torch.eye(problem.size, dtype=torch.float64)
    covariance = sigma**2 * identity + sigma**4 * jacobian
    scale = 1 + sigma**2
    assert torch.allclose(covariance, posterior.covariance(), atol=1e-8 * scale)
    assert torch.allclose(
        torch.func.jacfwd(score_of)(noisy[0]), jacobian, atol=1e-8 * scale / sigma**4
    )
    exact = joint.jacobian(noisy[0], sigma)
    assert torch.allclose(exact, identity + sigma**2 * jacobian, atol=1e-8 * scale / sigma**2)


@given(problem=problems(), sigma=sigmas(), generator=generators())
def test_covariance_of_the_product_is_block_diagonal(problem, sigma, generator):
    """Agents are independent given a_t: no block couples two of them."""
    noisy = torch.randn(problem.size, generator=generator, dtype=torch.float64)
    covariance = problem.oracle.base.posterior(noisy, sigma).covariance()
    for block in problem.product.blocks:
        covariance[block, block] = 0
    assert covariance.abs().max() < 1e-9


def test_jacobian_is_negligible_only_well_below_the_spread_of_the_data():
    """For unit Gaussians t⁴∇s = -t⁴/(1+t²): 1 % of t² at t = 0.1, all of it at t = 10."""
    mixture = single_gaussian(torch.zeros(1).double(), torch.eye(1).double()).mixture
    for sigma in (0.1, 1.0, 10.0):
        variance = float(mixture.posterior(torch.ones(1).double(), sigma).covariance())
        assert abs(variance - (sigma**2 - sigma**4 / (1 + sigma**2))) < 1e-12


def test_printed_posterior_draws_around_the_mean_with_t_squared():
    problem = gaussian_problem()
    noisy = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    query = query_of(problem, noisy, torch.tensor([0.2, 1.0, 9.0]))
    samples = IsotropicPosterior().draw(query, 40_000).samples
    assert samples.shape == (3, 40_000, 2)
    scaled = (samples - query.denoised.unsqueeze(1)) / query.sigma_column()
    assert scaled.mean(1).abs().max() < 0.02
    for world in scaled:
        assert torch.allclose(world.T.cov(), torch.eye(2), atol=0.03)


def test_matched_posterior_is_exact_for_isotropic_data():
    problem = gaussian_problem(spread=0.7)
    noisy = torch.randn(2, 2, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([0.3, 4.0])
    samples = MatchedPosterior(0.7).draw(query_of(problem, noisy, levels), 40_000).samples
    exact = problem.oracle.base.posterior(noisy.double(), levels.double())
    for world in range(2):
        spread = exact.covariance()[world].float()
        assert torch.allclose(samples[world].mean(0).double(), exact.mean()[world], atol=0.02)
        assert torch.allclose(samples[world].T.cov() / spread[0, 0], torch.eye(2), atol=0.04)


@given(problem=problems(max_agents=2), generator=generators())
def test_exact_posterior_draws_have_the_exact_moments(problem, generator):
    noisy = torch.randn(2, problem.size, generator=generator)
    query = query_of(problem, noisy, torch.tensor([0.4, 3.0]))
    samples = ExactPosterior(problem.product).draw(query, 5_000).samples.double()
    exact = problem.oracle.base.posterior(noisy.double(), torch.tensor([0.4, 3.0]).double())
    spread = exact.covariance().diagonal(dim1=-2, dim2=-1).sqrt()
    assert ((samples.mean(1) - exact.mean()) / spread).abs().max() < 0.08
    centred = samples - samples.mean(1, keepdim=True)
    covariance = centred.mT @ centred / samples.shape[1]
    limit = spread.unsqueeze(-1) * spread.unsqueeze(-2)
    assert ((covariance - exact.covariance()) / limit).abs().max() < 0.25


def gaussian_problem(spread=1.0):
    """Two agents with isotropic Gaussian base policies, and no cost."""
    policy = single_gaussian(torch.zeros(1).double(), spread**2 * torch.eye(1).double())
    return Problem((policy, policy), linear_cost(torch.zeros(2).double()))
