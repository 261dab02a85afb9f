"""Eq. 1-3: data, noise, and the score of their mixture."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.testing import sliced_wasserstein
from tests.strategies import generators, mixtures, random_mixture, sigmas


def test_perturbed_density_is_the_convolution_with_the_kernel():
    """Eq. 1, by numerical integration in one dimension."""
    mixture = random_mixture(1, 3, torch.Generator().manual_seed(0))
    grid = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    data = mixture.log_density(grid[:, None]).exp()
    for sigma in (0.1, 1.0, 3.0):
        for point in (-1.3, 0.0, 2.2):
            kernel = torch.exp(-0.5 * ((point - grid) / sigma) ** 2) / (
                sigma * math.sqrt(2 * math.pi)
            )
            expected = torch.trapezoid(data * kernel, grid)
            value = mixture.log_density(torch.tensor([point], dtype=torch.float64), sigma).exp()
            assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_forward_sde_adds_variance_t_squared():
    """Eq. 2: integrating dx = √(2t) dw to t in small steps ends in q_t = N(a, t²I)."""
    generator = torch.Generator().manual_seed(1)
    mixture = random_mixture(2, 2, generator)
    levels = torch.linspace(0, 1.5, 41, dtype=torch.float64)
    x = mixture.sample(20_000, generator)
    for low, high in zip(levels[:-1], levels[1:], strict=True):
        # ∫ 2t dt over the step: the variance that the SDE adds.
        step = (high**2 - low**2).sqrt()
        x = x + step * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    covariance = mixture.covariance() + 1.5**2 * torch.eye(2, dtype=torch.float64)
    assert torch.allclose(x.mean(0), mixture.mean(), atol=0.06)
    assert torch.allclose(x.T.cov(), covariance, atol=0.12)


@given(mixture=mixtures(), sigma=sigmas(), generator=generators())
def test_score_is_the_gradient_of_the_log_density(mixture, sigma, generator):
    """Eq. 3: (D(x, t) - x)/t² = ∇ log p_t(x), also for covariances of lower rank."""
    x = 2 * torch.randn(5, mixture.size, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(mixture.log_density(x, sigma).sum(), x)
    assert torch.allclose(mixture.score(x, sigma), gradient, rtol=1e-6, atol=1e-8)


def test_denoiser_minimises_the_score_matching_loss():
    """Eq. 4: no affine change of the exact denoiser predicts the data better."""
    generator = torch.Generator().manual_seed(2)
    mixture = random_mixture(2, 3, generator)
    data = mixture.sample(50_000, generator)
    noisy = data + 0.8 * torch.randn(data.shape, generator=generator, dtype=data.dtype)
    residual = data - mixture.denoise(noisy, 0.8)
    features = torch.cat([noisy, noisy.square(), torch.ones(len(noisy), 1).double()], -1)
    # The residual of a conditional expectation is uncorrelated with every function of a_t.
    assert (features.T @ residual / len(noisy)).abs().max() < 0.03


@given(generator=generators(), components=st.integers(1, 3))
def test_mixture_moments_match_full_covariances(generator, components):
    mixture = random_mixture(3, components, generator)
    covariances = (mixture.basis * mixture.variances.unsqueeze(-2)) @ mixture.basis.mT
    weights = mixture.log_weights.exp()
    mean = weights @ mixture.means
    second = covariances + mixture.means.unsqueeze(-1) * mixture.means.unsqueeze(-2)
    expected = torch.einsum("c,cde->de", weights, second) - torch.outer(mean, mean)
    assert torch.allclose(mixture.mean(), mean)
    assert torch.allclose(mixture.covariance(), expected, atol=1e-12)


def test_density_matches_torch_distributions():
    mixture = random_mixture(3, 2, torch.Generator().manual_seed(3))
    covariances = (mixture.basis * mixture.variances.unsqueeze(-2)) @ mixture.basis.mT
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=mixture.log_weights),
        torch.distributions.MultivariateNormal(
            mixture.means, covariances + 0.49 * torch.eye(3, dtype=torch.float64)
        ),
    )
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    assert torch.allclose(mixture.log_density(x, 0.7), reference.log_prob(x))


def test_worlds_with_their_own_mixtures_and_levels_do_not_mix():
    generator = torch.Generator().manual_seed(5)
    mixture = random_mixture(2, 2, generator)
    offsets = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    levels = torch.tensor([0.2, 1.0, 7.0], dtype=torch.float64)
    points = torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)
    together = mixture.shifted(offsets).denoise(points, levels)
    posterior = mixture.shifted(offsets).posterior(points, levels)
    for world in range(3):
        alone = mixture.shifted(offsets[world : world + 1])
        assert torch.allclose(
            alone.denoise(points[world : world + 1], levels[world])[0], together[world]
        )
        expected = alone.posterior(points[world : world + 1], levels[world]).covariance()
        assert torch.allclose(posterior.covariance()[world], expected[0])


def test_samples_follow_the_mixture():
    generator = torch.Generator().manual_seed(6)
    mixture = random_mixture(3, 3, generator)
    draws = mixture.sample(40_000, generator)
    assert torch.allclose(draws.mean(0), mixture.mean(), atol=0.03)
    assert torch.allclose(draws.T.cov(), mixture.covariance(), atol=0.05)
    shifted = mixture.shifted(torch.tensor([[0.0, 0, 0], [5.0, 0, 0]]).double())
    worlds = shifted.sample(2_000, generator)
    assert worlds.shape == (2, 2_000, 3)
    assert sliced_wasserstein(worlds[0], draws[:2_000], generator=generator) < 0.15
    assert torch.allclose(worlds[1].mean(0) - 5 * torch.eye(3)[0], mixture.mean(), atol=0.1)


def test_results_have_the_precision_of_the_points():
    mixture = random_mixture(2, 2, torch.Generator().manual_seed(7))
    points = torch.randn(4, 2, generator=torch.Generator().manual_seed(8))
    single = mixture.denoise(points, torch.tensor(0.5))
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), mixture.denoise(points.double(), 0.5), atol=1e-6)
