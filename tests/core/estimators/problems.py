"""Problems that all tests of estimators share."""

from __future__ import annotations

import torch

from codi_core.posteriors import PosteriorQuery
from codi_core.testing import MixturePolicy, Problem, action_spec, single_gaussian
from tests.strategies import random_mixture, random_quadratic

KEYS = [(7, episode, replan) for episode in range(2) for replan in range(2)]


def gaussian_problem(seed=0, temperature=2.0):
    """Two agents, three values each with a full covariance, a quadratic cost that couples them."""
    return mixture_problem(seed, temperature, components=1)


def mixture_problem(seed=0, temperature=2.0, components=2):
    generator, action = torch.Generator().manual_seed(seed), action_spec(3, 1)
    policies = tuple(
        MixturePolicy(random_mixture(3, components, generator), action) for _ in range(2)
    )
    return Problem(policies, random_quadratic(6, generator), temperature)


def correlated_gaussian():
    """One agent with a strongly correlated Gaussian policy, and no cost to speak of."""
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]]).double()
    policy = single_gaussian(torch.tensor([0.5, -1.0]).double(), covariance)
    return Problem((policy,), random_quadratic(2, torch.Generator().manual_seed(1)))


def noisy_points(problem, worlds, sigma, seed=1):
    """Points on the way of a guided sampler: a draw of π with noise a world, (B, D)."""
    generator = torch.Generator().manual_seed(seed)
    clean = problem.oracle.sample(worlds, generator)
    return (clean + sigma * torch.randn(clean.shape, generator=generator)).float()


def query_of(problem, noisy, sigma, seed=0, context=None):
    denoiser, level = problem.denoiser(), torch.as_tensor(sigma)
    context = context or problem.context(len(noisy), seed)
    return PosteriorQuery(noisy, level, denoiser(noisy, level), denoiser, context)


def moment_errors(problem, posterior, sigma, worlds=2, count=20_000):
    """The largest errors of mean and covariance, in units of the exact standard deviations."""
    noisy = noisy_points(problem, worlds, sigma)
    with torch.no_grad():
        samples = posterior.draw(query_of(problem, noisy, sigma), count).samples.double()
    exact = problem.oracle.base.posterior(noisy.double(), sigma)
    spread = exact.covariance().diagonal(dim1=-2, dim2=-1).sqrt()
    centred = samples - samples.mean(1, keepdim=True)
    covariance = centred.mT @ centred / count
    scale = spread.unsqueeze(-1) * spread.unsqueeze(-2)
    mean = ((samples.mean(1) - exact.mean()) / spread).abs().max()
    return float(mean), float(((covariance - exact.covariance()) / scale).abs().max())
