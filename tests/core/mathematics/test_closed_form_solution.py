"""Eq. 6-7: the solution of the cooperative game, and the value that it attains."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from codi_core.testing import (
    GaussianMixture,
    Oracle,
    coupling_cost,
    gaussian_divergence,
    linear_cost,
    tilt,
)
from tests.strategies import (
    generators,
    mixtures,
    problems,
    random_mixture,
    random_quadratic,
    temperatures,
)


def gaussian_objective(oracle, mean, covariance):
    """E[J] + λ KL(N(mean, covariance) ‖ p) for a Gaussian p: Eq. 6 with its sign put right."""
    candidate = GaussianMixture.gaussian(mean, covariance)
    divergence = gaussian_divergence(mean, covariance, oracle.base.mean(), oracle.base.covariance())
    return oracle.cost.expectation(candidate) + oracle.temperature * divergence


@given(mixture=mixtures(), generator=generators(), temperature=temperatures(0.1, 100))
def test_solution_is_the_tilted_density(mixture, generator, temperature):
    """Eq. 7, pointwise: log π = -J/λ + log p - log Z. Low ranks have no density."""
    cost = random_quadratic(mixture.size, generator)
    oracle = Oracle.of(mixture, cost, temperature)
    assume(mixture.variances.shape[-1] == mixture.size)
    x = torch.randn(6, mixture.size, generator=generator, dtype=torch.float64)
    expected = -cost(x) / temperature + mixture.log_density(x) - oracle.log_normaliser
    assert torch.allclose(oracle.target.log_density(x), expected, rtol=1e-7, atol=1e-7)


def test_normaliser_is_the_expectation_under_the_product_policy():
    """Z = ∫ exp(-J/λ) p da: by quadrature in one dimension, by sampling at a low rank in four."""
    generator = torch.Generator().manual_seed(0)
    mixture, cost = random_mixture(1, 2, generator), random_quadratic(1, generator)
    grid = torch.linspace(-10, 10, 8001, dtype=torch.float64)[:, None]
    density = torch.exp(mixture.log_density(grid) - cost(grid) / 0.5)
    expected = torch.trapezoid(density, grid[:, 0]).log()
    assert float(tilt(mixture, cost, 0.5).log_normaliser) == pytest.approx(float(expected))

    mixture, cost = random_mixture(4, 3, generator, rank=2), random_quadratic(4, generator)
    draws = mixture.sample(200_000, generator)
    estimate = torch.exp(-cost(draws) / 4.0).mean().log()
    value = tilt(mixture, cost, 4.0).log_normaliser
    assert float(value) == pytest.approx(float(estimate), abs=0.02)


@given(generator=generators(), scale=st.floats(0.01, 0.5), temperature=temperatures(0.1, 10))
def test_no_perturbed_gaussian_has_a_lower_objective(generator, scale, temperature):
    """Donsker-Varadhan: π is the minimiser of Eq. 6."""
    base = random_mixture(3, 1, generator)
    oracle = Oracle.of(base, random_quadratic(3, generator), temperature)
    least = oracle.objective()
    mean, covariance = oracle.mean(), oracle.covariance()
    assert torch.allclose(gaussian_objective(oracle, mean, covariance), least, atol=1e-8)

    step = scale * torch.randn(3, generator=generator, dtype=torch.float64)
    turn = torch.eye(3, dtype=torch.float64) + scale * torch.randn(
        3, 3, generator=generator, dtype=torch.float64
    )
    for candidate in (
        (mean + step, covariance),
        (mean, turn @ covariance @ turn.T),
        (mean - step, turn @ covariance @ turn.T),
    ):
        assert gaussian_objective(oracle, *candidate) > least


@given(problem=problems())
def test_no_reweighting_of_modes_has_a_lower_objective(problem):
    """Donsker-Varadhan within the mixtures that tilt p by another weighting of the components."""
    oracle = problem.oracle
    x = oracle.sample(4_000, torch.Generator().manual_seed(1))
    log_ratio = oracle.target.log_density(x) - oracle.base.log_density(x)
    pointwise = problem.cost(x) + problem.temperature * log_ratio
    # For π itself J + λ log(π/p) is the constant -λ log Z, which is the least expectation.
    assert torch.allclose(pointwise, oracle.objective().expand(4_000), rtol=1e-6, atol=1e-6)

    log_weights = oracle.target.log_weights
    other = torch.log_softmax(log_weights + 0.7 * torch.linspace(-1, 1, len(log_weights)), -1)
    rival = GaussianMixture(
        other, oracle.target.means, oracle.target.basis, oracle.target.variances
    )
    draws = rival.sample(4_000, torch.Generator().manual_seed(2))
    ratio = rival.log_density(draws) - oracle.base.log_density(draws)
    values = problem.cost(draws) + problem.temperature * ratio
    error = values.std() / 4_000**0.5
    assert values.mean() > oracle.objective() - 4 * error - 1e-9


@given(problem=problems())
def test_value_is_minus_temperature_times_log_z(problem):
    oracle = problem.oracle
    value = oracle.expected_cost() + problem.temperature * oracle.divergence()
    assert torch.allclose(value, -problem.temperature * oracle.log_normaliser)
    assert oracle.divergence() >= -1e-9
    assert oracle.expected_cost() <= oracle.unguided_cost() + 1e-9
    if len(oracle.base.log_weights) == 1:
        divergence = gaussian_divergence(
            oracle.mean(), oracle.covariance(), oracle.base.mean(), oracle.base.covariance()
        )
        assert torch.allclose(oracle.divergence(), divergence, atol=1e-8)


def test_expected_cost_matches_samples():
    generator = torch.Generator().manual_seed(3)
    oracle = Oracle.of(random_mixture(4, 3, generator), random_quadratic(4, generator), 1.0)
    for value, draws in (
        (oracle.expected_cost(), oracle.sample(100_000, generator)),
        (oracle.unguided_cost(), oracle.base.sample(100_000, generator)),
    ):
        sampled = oracle.cost(draws)
        error = 5 * float(sampled.std()) / len(draws) ** 0.5
        assert float(value) == pytest.approx(float(sampled.mean()), abs=error)


def test_linear_cost_moves_a_gaussian_by_its_covariance():
    base = random_mixture(3, 1, torch.Generator().manual_seed(4))
    slope = torch.tensor([1.0, -2.0, 0.5]).double()
    oracle = Oracle.of(base, linear_cost(slope, constant=3.0), 0.7)
    assert torch.allclose(oracle.mean(), base.mean() - base.covariance() @ slope / 0.7)
    assert torch.allclose(oracle.covariance(), base.covariance())


def test_coupling_makes_agents_agree():
    """A stiff coupling of two unit Gaussians leaves their mean free and their difference none."""
    base = GaussianMixture.gaussian(torch.zeros(2).double(), torch.eye(2).double())
    cost = coupling_cost(2, torch.eye(1).double(), stiffness=1e8)
    covariance = Oracle.of(base, cost, 1.0).covariance()
    assert torch.allclose(covariance, torch.full((2, 2), 0.5).double(), atol=1e-6)


@given(problem=problems())
def test_infinite_temperature_gives_the_product_policy(problem):
    far = Oracle.of(problem.oracle.base, problem.cost, 1e12)
    assert torch.allclose(far.mean(), far.base.mean(), atol=1e-8)
    assert torch.allclose(far.covariance(), far.base.covariance(), atol=1e-8)
    assert abs(float(far.divergence())) < 1e-8


@given(problem=problems(), constant=st.floats(-1e3, 1e3))
def test_a_constant_changes_log_z_alone(problem, constant):
    one = problem.oracle
    cost = problem.cost.plus(linear_cost(torch.zeros(problem.size).double(), constant))
    other = Oracle.of(one.base, cost, problem.temperature)
    assert torch.allclose(other.mean(), one.mean(), atol=1e-8)
    assert torch.allclose(
        other.log_normaliser, one.log_normaliser - constant / problem.temperature, atol=1e-6
    )
