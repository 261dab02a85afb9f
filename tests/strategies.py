"""hypothesis strategies for the mathematics: mixtures, costs, problems, awkward numbers.

Arrays come from torch generators with drawn seeds: hypothesis shrinks the structure (agents,
sizes, components), which is what a failure depends on, and examples stay cheap.
"""

from __future__ import annotations

import math

import torch
from hypothesis import strategies as st
from torch import Tensor

from codi_core.testing import (
    GaussianMixture,
    MixturePolicy,
    Problem,
    QuadraticCost,
    action_spec,
    random_covariance,
)


def seeds() -> st.SearchStrategy[int]:
    """Seeds of random streams."""
    return st.integers(0, 2**31 - 1)


def generators() -> st.SearchStrategy[torch.Generator]:
    """Seeded generators."""
    return seeds().map(lambda seed: torch.Generator().manual_seed(seed))


def sigmas(low: float = 0.05, high: float = 40.0) -> st.SearchStrategy[float]:
    """Noise levels, even in their logarithm."""
    return st.floats(math.log(low), math.log(high)).map(math.exp)


def temperatures(low: float = 1e-6, high: float = 1e6) -> st.SearchStrategy[float]:
    """Values of λ, even in their logarithm."""
    return sigmas(low, high)


def random_mixture(
    size: int, components: int, generator: torch.Generator, rank: int | None = None
) -> GaussianMixture:
    """A mixture in float64 whose modes are about one apart; of full rank unless told."""
    options = {"generator": generator, "dtype": torch.float64}
    covariances = torch.stack([random_covariance(size, generator, 0.6) for _ in range(components)])
    weights = 0.3 + torch.rand(components, **options)
    means = torch.randn(components, size, **options)
    mixture = GaussianMixture.from_covariances(weights, means, covariances)
    if rank is None:
        return mixture
    return GaussianMixture(
        mixture.log_weights, mixture.means, mixture.basis[..., :rank], mixture.variances[..., :rank]
    )


def random_quadratic(
    size: int, generator: torch.Generator, rows: int = 2, worlds: int | None = None
) -> QuadraticCost:
    """A quadratic cost with a slope and a constant; its target differs by world if told."""
    options = {"generator": generator, "dtype": torch.float64}
    shape = (rows,) if worlds is None else (worlds, rows)
    return QuadraticCost(
        torch.randn(rows, size, **options),
        torch.randn(shape, **options),
        0.3 * torch.randn(size, **options),
        0.7,
    )


@st.composite
def mixtures(draw: st.DrawFn, max_size: int = 4, max_components: int = 4) -> GaussianMixture:
    """Mixtures of full or of lower rank."""
    size = draw(st.integers(1, max_size))
    rank = draw(st.none() | st.integers(1, size))
    return random_mixture(size, draw(st.integers(1, max_components)), draw(generators()), rank)


@st.composite
def problems(
    draw: st.DrawFn, max_agents: int = 3, max_components: int = 3, shared: bool = False
) -> Problem:
    """Problems of several agents; with ``shared`` all agents use one base policy."""
    agents, horizon = draw(st.integers(1, max_agents)), draw(st.integers(1, 2))
    dimension, components = draw(st.integers(1, 2)), draw(st.integers(1, max_components))
    generator, action = draw(generators()), action_spec(horizon, dimension)
    policies = [
        MixturePolicy(random_mixture(action.size, components, generator), action)
        for _ in range(1 if shared else agents)
    ]
    cost = random_quadratic(agents * action.size, generator)
    return Problem(tuple(policies * (agents if shared else 1)), cost, draw(temperatures(0.3, 30)))


AWKWARD = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e12, -1e12, 1e300, -1e300, 5e-324)
"""Costs that a black box may return."""


@st.composite
def cost_arrays(
    draw: st.DrawFn, max_worlds: int = 3, max_samples: int = 6, finite: bool = False
) -> Tensor:
    """Costs (B, M) in float64, of any magnitude, with or without NaN and infinities."""
    worlds, samples = draw(st.integers(1, max_worlds)), draw(st.integers(1, max_samples))
    plain = st.floats(-1e12, 1e12, allow_nan=False)
    value = plain if finite else plain | st.sampled_from(AWKWARD)
    count = worlds * samples
    values = draw(st.lists(value, min_size=count, max_size=count))
    return torch.tensor(values, dtype=torch.float64).reshape(worlds, samples)
