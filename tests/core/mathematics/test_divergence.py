"""Eq. 8-10 and 21-22: what the demonstrations give, and what the cost must add."""

from __future__ import annotations

import torch
from hypothesis import given

from codi_core.testing import (
    GaussianMixture,
    Oracle,
    QuadraticCost,
    gaussian_divergence,
    linear_cost,
)
from tests.strategies import generators, random_mixture, random_quadratic, temperatures


def gaussian_as_quadratic(mean, covariance):
    """½ (a - m)ᵀ S⁻¹ (a - m) as a quadratic cost."""
    rows = torch.linalg.cholesky(torch.linalg.inv(covariance)).mT
    return rows, rows @ mean


def optimally_compensating_cost(target, base, temperature):
    """J* = λ log(p/π*) + constant of Eq. 10, for Gaussians with π* narrower than p."""
    precision = torch.linalg.inv(target.covariance()) - torch.linalg.inv(base.covariance())
    pull = torch.linalg.solve(target.covariance(), target.mean()) - torch.linalg.solve(
        base.covariance(), base.mean()
    )
    root = torch.linalg.cholesky(precision).mT * temperature**0.5
    zero = torch.zeros(root.shape[0], dtype=root.dtype)
    return QuadraticCost(root, zero, -temperature * pull)


@given(generator=generators(), temperature=temperatures(0.1, 10))
def test_decomposition_of_the_divergence(generator, temperature):
    """Eq. 9b for Gaussians, each term in closed form: KL(π*‖π) = KL(π*‖p) + log Z + E[J]/λ."""
    base, target = random_mixture(3, 1, generator), random_mixture(3, 1, generator)
    cost = random_quadratic(3, generator)
    oracle = Oracle.of(base, cost, temperature)
    whole = gaussian_divergence(
        target.mean(), target.covariance(), oracle.mean(), oracle.covariance()
    )
    data = gaussian_divergence(target.mean(), target.covariance(), base.mean(), base.covariance())
    designed = oracle.log_normaliser + cost.expectation(target) / temperature
    assert torch.allclose(whole, data + designed, rtol=1e-8, atol=1e-8)
    assert data >= 0


def test_decomposition_of_the_divergence_for_mixtures():
    """Eq. 9b holds for each sample, so for whatever π* the samples come from."""
    generator = torch.Generator().manual_seed(0)
    base, target = random_mixture(2, 3, generator), random_mixture(2, 2, generator)
    cost = random_quadratic(2, generator)
    oracle = Oracle.of(base, cost, 0.8)
    draws = target.sample(1_000, generator)
    wanted = target.log_density(draws)
    whole = wanted - oracle.target.log_density(draws)
    parts = wanted - base.log_density(draws) + oracle.log_normaliser + cost(draws) / 0.8
    assert torch.allclose(whole, parts, atol=1e-9)


@given(generator=generators(), temperature=temperatures(0.1, 10))
def test_optimally_compensating_cost_recovers_the_target(generator, temperature):
    """Eq. 10 and 21-22: guided by J*, the composition is π*, whatever the demonstrations were."""
    base = random_mixture(3, 1, generator)
    narrow = random_mixture(3, 1, generator)
    target = GaussianMixture(
        narrow.log_weights, narrow.means, narrow.basis, narrow.variances * 0.05
    )
    cost = optimally_compensating_cost(target, base, temperature)
    oracle = Oracle.of(base, cost, temperature)
    assert torch.allclose(oracle.mean(), target.mean(), atol=1e-7)
    assert torch.allclose(oracle.covariance(), target.covariance(), atol=1e-8)

    x = target.sample(50, generator)
    by_formula = -temperature * oracle.log_normaliser + temperature * (
        base.log_density(x) - target.log_density(x)
    )
    assert torch.allclose(cost(x), by_formula, rtol=1e-6, atol=1e-6)


def test_perfect_demonstrations_need_a_constant_cost_only():
    """With π* = p, J* of Eq. 10 is one constant, and any constant leaves π = p."""
    base = random_mixture(2, 2, torch.Generator().manual_seed(1))
    oracle = Oracle.of(base, linear_cost(torch.zeros(2).double(), constant=3.0), 0.5)
    x = base.sample(50, torch.Generator().manual_seed(2))
    assert torch.allclose(oracle.target.log_density(x), base.log_density(x), atol=1e-12)
    by_formula = -0.5 * oracle.log_normaliser + 0.5 * (
        base.log_density(x) - oracle.target.log_density(x)
    )
    assert torch.allclose(by_formula, torch.full((50,), 3.0).double())
    assert abs(float(oracle.divergence())) < 1e-12


def test_a_cost_cannot_leave_the_support_of_the_demonstrations():
    """Sec. IV-C: with p flat in one direction, no cost moves π in that direction."""
    generator = torch.Generator().manual_seed(3)
    base = random_mixture(3, 1, generator, rank=2)
    cost = random_quadratic(3, generator, rows=3)
    oracle = Oracle.of(base, cost, 1e-3)
    missing = torch.linalg.svd(base.basis[0])[0][:, 2]
    assert abs(float(missing @ (oracle.mean() - base.mean()))) < 1e-10
    assert float(missing @ oracle.covariance() @ missing) < 1e-12


def test_dependence_comes_from_the_cost():
    """Sec. IV-B: independent marginals, a coupled composition, with the covariance known."""
    base = GaussianMixture.gaussian(torch.zeros(2).double(), torch.eye(2).double())
    rows, target = gaussian_as_quadratic(
        torch.zeros(2).double(), torch.tensor([[2.0, 1.5], [1.5, 2.0]]).double()
    )
    cost = QuadraticCost(rows, target, torch.zeros(2).double())
    covariance = Oracle.of(base, cost, 1.0).covariance()
    expected = torch.linalg.inv(torch.eye(2).double() + rows.mT @ rows)
    assert torch.allclose(covariance, expected)
    assert float(covariance[0, 1]) > 0.1
