"""Eq. 12, 14, 15 and 23-29: the guidance score g^J; Appendix B: it is a classifier's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from codi_core.testing import (
    Oracle,
    TrajectoryFamily,
    conditioned_product,
    quadratic_cost,
    tilt,
)
from tests.strategies import (
    generators,
    mixtures,
    problems,
    random_mixture,
    random_quadratic,
    sigmas,
    temperatures,
)


def noisy_points(oracle, sigma, count, generator):
    """Draws of a_t under the product policy, where a sampler would be."""
    clean = oracle.base.sample(count, generator)
    return clean + sigma * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)


@given(
    mixture=mixtures(), sigma=sigmas(), generator=generators(), temperature=temperatures(0.3, 30)
)
def test_tilted_density_at_every_noise_level(mixture, sigma, generator, temperature):
    """Eq. 23: π_t(a_t) = p_t(a_t) E[exp(-J/λ) | a_t] / Z, by two different routes."""
    oracle = Oracle.of(mixture, random_quadratic(mixture.size, generator), temperature)
    x = noisy_points(oracle, sigma, 6, generator)
    expectation = tilt(mixture.posterior(x, sigma), oracle.cost, temperature).log_normaliser
    by_posterior = mixture.log_density(x, sigma) + expectation - oracle.log_normaliser
    assert torch.allclose(oracle.target.log_density(x, sigma), by_posterior, rtol=1e-6, atol=1e-6)


@given(problem=problems(), sigma=sigmas(), generator=generators())
def test_score_of_the_composition_is_the_sum_of_two_scores(problem, sigma, generator):
    """Eq. 12 and 24: ∇ log π_t = ∇ log p_t + ∇ log E[exp(-J/λ) | a_t]."""
    oracle = problem.oracle
    x = noisy_points(oracle, sigma, 4, generator).requires_grad_()
    posterior = oracle.base.posterior(x, sigma)
    expectation = tilt(posterior, oracle.cost, oracle.temperature).log_normaliser
    (gradient,) = torch.autograd.grad(expectation.sum(), x)
    x = x.detach()
    tolerance = {"rtol": 1e-5, "atol": 1e-7 * (1 + 1 / sigma**2)}
    assert torch.allclose(oracle.guidance_score(x, sigma), gradient, **tolerance)
    assert torch.allclose(
        oracle.score(x, sigma), oracle.base.score(x, sigma) + gradient, **tolerance
    )


@pytest.mark.parametrize("sigma", [0.1, 0.7, 5.0])
def test_guidance_score_is_a_weighted_expectation(sigma):
    """Eq. 14-15 by quadrature over a: g = E[w ∇ log q_t(a_t | a)], with no gradient of J."""
    generator = torch.Generator().manual_seed(0)
    oracle = Oracle.of(random_mixture(1, 3, generator), random_quadratic(1, generator), 0.5)
    point = noisy_points(oracle, sigma, 1, generator)[0]
    grid = torch.linspace(-12, 12, 24_001, dtype=torch.float64)[:, None]
    log_q = -0.5 * ((point - grid) / sigma).square().sum(-1)
    posterior = torch.softmax(oracle.base.log_density(grid) + log_q, 0)
    tilting = torch.exp(-oracle.cost(grid) / 0.5)
    weight = tilting / (posterior * tilting).sum() - 1
    gradient = (grid - point)[:, 0] / sigma**2
    assert float((posterior * weight).sum()) == pytest.approx(0, abs=1e-12)
    expected = (posterior * weight * gradient).sum()
    value = oracle.guidance_score(point, sigma)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


@given(problem=problems(), sigma=sigmas(), generator=generators())
def test_shift_is_the_tilted_mean_minus_the_mean(problem, sigma, generator):
    """t² g^J = E_w[a | a_t] - E[a | a_t]: what the estimators estimate."""
    oracle = problem.oracle
    x = noisy_points(oracle, sigma, 4, generator)
    posterior = oracle.base.posterior(x, sigma)
    tilted = tilt(posterior, oracle.cost, oracle.temperature).mixture
    assert torch.allclose(oracle.shift(x, sigma), tilted.mean() - posterior.mean(), atol=1e-6)
    assert torch.allclose(
        oracle.shift(x, sigma), sigma**2 * oracle.guidance_score(x, sigma), atol=1e-7
    )


def test_factored_oracle_is_the_enumerated_one():
    family = TrajectoryFamily(agents=4, steps=4, modes=2, group=2)
    problem = family.problem()
    base = conditioned_product(problem.product, {})
    whole = Oracle.of(base, problem.cost, problem.temperature)
    parts = problem.oracle
    x = torch.randn(5, family.size, generator=torch.Generator().manual_seed(1)).double()
    for sigma in (0.1, 1.0, 10.0):
        assert torch.allclose(parts.denoise(x, sigma), whole.denoise(x, sigma), atol=1e-9)
        assert torch.allclose(parts.shift(x, sigma), whole.shift(x, sigma), atol=1e-9)
        assert torch.allclose(parts.score(x, sigma), whole.score(x, sigma), atol=1e-6)
    assert torch.allclose(parts.mean(), whole.mean(), atol=1e-9)
    assert torch.allclose(parts.covariance(), whole.covariance(), atol=1e-9)
    assert torch.allclose(parts.log_normaliser, whole.log_normaliser)
    for name in ("expected_cost", "unguided_cost", "divergence", "objective"):
        assert torch.allclose(getattr(parts, name)(), getattr(whole, name)())


def gaussian_measurement(generator, noise):
    """Gaussian data a, a measurement y = L a + noise, and J = ½‖L a - y‖² at λ = noise²."""
    base = random_mixture(3, 1, generator)
    rows = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    target = torch.randn(2, generator=generator, dtype=torch.float64)
    return base, Oracle.of(base, quadratic_cost(rows, target), noise**2)


def test_composition_is_bayes_rule_with_a_gaussian_classifier():
    """Appendix B: with exp(-J/λ) = p(y | a) up to a constant, π is p(a | y)."""
    base, oracle = gaussian_measurement(torch.Generator().manual_seed(2), 0.6)
    rows, prior = oracle.cost.rows, base.covariance()
    innovation = rows @ prior @ rows.mT + 0.36 * torch.eye(2, dtype=torch.float64)
    gain = prior @ rows.mT @ torch.linalg.inv(innovation)
    expected = base.mean() + gain @ (oracle.cost.target - rows @ base.mean())
    assert torch.allclose(oracle.mean(), expected)
    assert torch.allclose(oracle.covariance(), prior - gain @ rows @ prior)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_guidance_score_is_the_noise_conditioned_classifiers(sigma):
    """Eq. 37-39: g^J = ∇ log p_t(y | a_t), with p_t(y | a_t) = N(y; L E[a|a_t], λI + L C Lᵀ)."""
    base, oracle = gaussian_measurement(torch.Generator().manual_seed(3), 0.6)
    x = torch.randn(3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    x.requires_grad_()
    rows = oracle.cost.rows
    posterior = base.posterior(x, sigma)
    covariance = rows @ posterior.covariance() @ rows.mT + 0.36 * torch.eye(2).double()
    classifier = torch.distributions.MultivariateNormal(rows @ posterior.mean(), covariance)
    (gradient,) = torch.autograd.grad(classifier.log_prob(oracle.cost.target), x)
    assert torch.allclose(oracle.guidance_score(x.detach(), sigma), gradient, atol=1e-9)


def test_regressing_the_cost_gives_a_biased_classifier():
    """Eq. 47-49 as printed: -∇ E[J | a_t]/λ is not g^J, except in the limit of a clean a_t."""
    base, oracle = gaussian_measurement(torch.Generator().manual_seed(5), 0.6)
    x = torch.randn(3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def disagreement(sigma):
        point = x.clone().requires_grad_()
        expected_cost = oracle.cost.expectation(base.posterior(point, sigma))
        (gradient,) = torch.autograd.grad(-expected_cost / oracle.temperature, point)
        exact = oracle.guidance_score(x, sigma)
        return float((gradient - exact).norm() / exact.norm())

    assert disagreement(1.0) > 0.5
    assert disagreement(0.01) < 0.01


def test_guidance_vanishes_where_the_noise_hides_nothing_or_everything():
    """As t → 0, t² g^J → 0; as t → ∞ it is the difference of the means."""
    base, oracle = gaussian_measurement(torch.Generator().manual_seed(7), 0.6)
    x = torch.zeros(3).double()
    assert float(oracle.shift(x, 1e-4).norm()) < 1e-6
    assert torch.allclose(oracle.shift(x, 1e5), oracle.mean() - base.mean(), atol=1e-6)
