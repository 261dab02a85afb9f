"""Eq. 17-19: what the Monte-Carlo estimate of g^J converges to, and how fast."""

from __future__ import annotations

import math

import pytest
import torch

from codi_core.guidance import MonteCarloGuidance, sample_weights
from codi_core.guidance.monte_carlo import shift
from codi_core.posteriors import IsotropicPosterior, MatchedPosterior
from codi_core.testing import (
    ExactPosterior,
    GaussianMixture,
    MixturePolicy,
    Problem,
    action_spec,
    linear_cost,
    single_gaussian,
    tilt,
)
from tests.strategies import random_mixture, random_quadratic


def make_problem(seed=0, temperature=2.0, components=2):
    """Two agents, two values each, a quadratic cost that couples them."""
    generator, action = torch.Generator().manual_seed(seed), action_spec(2, 1)
    policies = tuple(
        MixturePolicy(random_mixture(2, components, generator), action) for _ in range(2)
    )
    return Problem(policies, random_quadratic(4, generator), temperature)


def estimates(problem, posterior, samples, noisy, sigma, seed=0):
    """t² g^J as estimated with M samples in each world, (B, D)."""
    guidance = MonteCarloGuidance(posterior, samples, problem.temperature)
    context = problem.context(len(noisy), seed)
    denoiser, level = problem.denoiser(), torch.tensor(sigma)
    guided = guidance.guide(denoiser, problem.evaluate(), context)
    return (guided(noisy, level) - denoiser(noisy, level)).double()


def slope(counts, errors):
    """The exponent of a power law, by least squares on logarithms."""
    x, y = torch.tensor(counts).double().log(), torch.tensor(errors).double().log()
    x = x - x.mean()
    return float((x * y).sum() / x.square().sum())


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_error_falls_as_one_over_root_m(sigma):
    problem = make_problem()
    posterior = ExactPosterior(problem.product)
    noisy = problem.oracle.base.sample(1, torch.Generator().manual_seed(1)).float()
    noisy = (noisy + sigma * 0.5).repeat(1_000, 1)
    exact = problem.oracle.shift(noisy[:1].double(), sigma)
    counts = [16, 64, 256]
    errors = [
        float((estimates(problem, posterior, count, noisy, sigma) - exact).square().mean().sqrt())
        for count in counts
    ]
    assert slope(counts, errors) == pytest.approx(-0.5, abs=0.06)


def gaussian_estimates(strength, samples, worlds, generator):
    """Σ (tilted - plain) a for a ~ N(0, 1) and J/λ = β a, whose exact value is -β."""
    draws = torch.randn(worlds, samples, 1, generator=generator, dtype=torch.float64)
    return shift(draws, sample_weights(strength * draws[..., 0], 1.0))[:, 0]


def test_bias_falls_as_one_over_m_with_the_predicted_constant():
    """A ratio of means has the bias -E[w²(a - E_w[a])]/M: here + β exp(β²)/M."""
    strength, counts = 0.7, [16, 32, 64]
    generator = torch.Generator().manual_seed(2)
    biases = []
    for count in counts:
        total = sum(
            float(gaussian_estimates(strength, count, 20_000, generator).mean()) for _ in range(10)
        )
        biases.append(total / 10 + strength)
    assert slope(counts, biases) == pytest.approx(-1.0, abs=0.12)
    constant = strength * math.exp(strength**2)
    assert biases[-1] * counts[-1] == pytest.approx(constant, rel=0.1)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("sigma", [0.2, 1.0, 20.0])
def test_limit_is_exact_with_the_exact_posterior(components, sigma):
    problem = make_problem(3, components=components)
    generator = torch.Generator().manual_seed(4)
    clean = problem.oracle.base.sample(4, generator)
    noisy = (clean + sigma * torch.randn(4, 4, generator=generator)).float()
    estimate = estimates(problem, ExactPosterior(problem.product), 100_000, noisy, sigma)
    exact = problem.oracle.shift(noisy.double(), sigma)
    spread = problem.oracle.base.posterior(noisy.double(), sigma).covariance()
    scale = spread.diagonal(dim1=-2, dim2=-1).sqrt().mean()
    assert (estimate - exact).abs().max() < 0.03 * scale


def test_limit_with_the_printed_posterior_is_that_of_a_broader_posterior():
    """With Σ = t²I the estimate converges too, but to the shift of N(D, t²I): not to g^J."""
    problem, sigma = make_problem(5, components=1), 1.5
    noisy = torch.randn(3, 4, generator=torch.Generator().manual_seed(6))
    estimate = estimates(problem, IsotropicPosterior(), 100_000, noisy, sigma)
    mean = problem.oracle.base.denoise(noisy.double(), sigma)
    broad = GaussianMixture.gaussian(
        torch.zeros(4).double(), sigma**2 * torch.eye(4).double()
    ).shifted(mean)
    limit = tilt(broad, problem.cost, problem.temperature).mixture.mean() - mean
    assert (estimate - limit).abs().max() < 0.05
    exact = problem.oracle.shift(noisy.double(), sigma)
    assert (estimate - exact).norm() > 0.5 * exact.norm()


def test_matched_posterior_is_exact_for_isotropic_gaussians():
    policy = single_gaussian(torch.zeros(1).double(), 0.25 * torch.eye(1).double())
    problem = Problem((policy, policy), random_quadratic(2, torch.Generator().manual_seed(7)), 1.0)
    noisy = torch.randn(3, 2, generator=torch.Generator().manual_seed(8))
    estimate = estimates(problem, MatchedPosterior(0.5), 100_000, noisy, 1.5)
    assert torch.allclose(estimate, problem.oracle.shift(noisy.double(), 1.5), atol=0.02)


@pytest.mark.parametrize("posterior", [IsotropicPosterior(), MatchedPosterior()])
def test_infinite_temperature_gives_the_product_policy(posterior):
    """Guidance vanishes as 1/λ, with any posterior."""
    problem = make_problem(9)
    noisy = torch.randn(5, 4, generator=torch.Generator().manual_seed(10))
    sizes = []
    for temperature in (1e4, 1e5, 1e9):
        problem.temperature = temperature
        sizes.append(float(estimates(problem, posterior, 64, noisy, 1.0).norm()))
    assert sizes[1] / sizes[0] == pytest.approx(0.1, rel=0.05)
    assert sizes[2] < 1e-5


def test_zero_temperature_moves_to_the_cheapest_sample():
    problem = make_problem(11, temperature=1e-12)
    noisy = torch.zeros(2, 4)
    guidance = MonteCarloGuidance(IsotropicPosterior(), 32, 1e-12)
    seen = []

    def evaluate(samples):
        seen.append(samples)
        return problem.cost(samples)

    context, denoiser = problem.context(2), problem.denoiser()
    level = torch.tensor(1.0)
    guided = guidance.guide(denoiser, evaluate, context)(noisy, level)
    samples = seen[0]
    cheapest = samples[torch.arange(2), problem.cost(samples).argmin(-1)]
    expected = denoiser(noisy, level) + cheapest - samples.mean(1)
    assert torch.allclose(guided, expected, atol=1e-5)


def test_a_linear_cost_on_a_gaussian_has_a_known_guidance_score():
    """t² g^J = -Cov[a | a_t] b/λ, wherever a_t is."""
    variance = torch.tensor([1.0, 0.25]).double()
    policy = single_gaussian(torch.zeros(2).double(), torch.diag(variance))
    slope_of_cost = torch.tensor([1.0, -2.0]).double()
    problem = Problem((policy,), linear_cost(slope_of_cost), 4.0)
    noisy = torch.randn(3, 2, generator=torch.Generator().manual_seed(12))
    estimate = estimates(problem, ExactPosterior(problem.product), 100_000, noisy, 0.8)
    posterior = variance * 0.64 / (variance + 0.64)
    expected = (-posterior * slope_of_cost / 4.0).expand(3, 2)
    assert torch.allclose(estimate, expected, atol=0.01)


def test_failed_samples_do_not_bias_the_rest():
    """Samples lost at random leave the same limit."""
    problem = make_problem(13)
    lost = torch.Generator().manual_seed(14)
    guidance = MonteCarloGuidance(ExactPosterior(problem.product), 100_000, problem.temperature)

    def evaluate(samples):
        cost = problem.cost(samples)
        return cost.masked_fill(torch.rand(cost.shape, generator=lost) < 0.3, math.nan)

    noisy, level = torch.zeros(2, 4), torch.tensor(1.0)
    denoiser = problem.denoiser()
    guided = guidance.guide(denoiser, evaluate, problem.context(2))(noisy, level)
    exact = problem.oracle.shift(noisy.double(), 1.0)
    assert torch.allclose((guided - denoiser(noisy, level)).double(), exact, atol=0.03)
