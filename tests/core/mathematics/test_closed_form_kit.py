"""The shipped kit itself: distances, trajectory families, noise impulses, exact parts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import SpecificationError
from codi_core.planning import Observation
from codi_core.policies import BasePolicy, Factor, Normaliser, ProductPolicy
from codi_core.testing import (
    ImpulseNoise,
    MixturePolicy,
    TrajectoryFamily,
    action_spec,
    blind,
    conditioned_parts,
    cosines,
    energy_distance,
    joint_mixture,
    mode_shares,
    propagate,
    reverse_sde_moments,
    sliced_wasserstein,
    total_variation,
)
from tests.strategies import generators, random_mixture


def normal(count, size, seed):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed)).double()


def test_energy_distance_of_two_points_apart():
    """For two point masses at distance d it is 2d."""
    first, second = torch.zeros(10, 3), torch.zeros(10, 3)
    second[:, 0] = 2.5
    assert float(energy_distance(first, second)) == pytest.approx(5.0)


def test_energy_distance_of_normals_matches_its_closed_form():
    """In one dimension, N(0,1) and N(m,1): 4σ̃[φ(m/2)·… ] via E|N(m,2)| - E|N(0,2)|, doubled."""
    shift = 1.5

    def absolute_mean(mean):
        phi = math.exp(-(mean**2) / 4) * 2 / math.sqrt(math.pi)
        return phi + mean * math.erf(mean / 2)

    expected = 2 * absolute_mean(shift) - 2 * absolute_mean(0.0)
    value = energy_distance(normal(4_000, 1, 0), normal(4_000, 1, 1) + shift)
    assert float(value) == pytest.approx(expected, rel=0.06)
    assert abs(float(energy_distance(normal(4_000, 1, 2), normal(4_000, 1, 3)))) < 0.005


def test_sliced_wasserstein_of_a_shift():
    """A shift by m has W₂ = |m·u| along u: on average |m|/√D."""
    first = normal(500, 4, 4)
    shift = torch.tensor([2.0, 0, 0, 0])
    value = sliced_wasserstein(first, first + shift, 4_000, torch.Generator().manual_seed(5))
    assert float(value) == pytest.approx(1.0, rel=0.05)


def test_sliced_wasserstein_of_sets_of_different_sizes():
    generator = torch.Generator().manual_seed(6)
    assert sliced_wasserstein(normal(4_000, 2, 7), normal(1_000, 2, 8), 64, generator) < 0.1


def test_mode_shares_are_the_weights_of_separate_modes():
    mixture = random_mixture(2, 3, torch.Generator().manual_seed(9))
    apart = mixture.__class__(
        mixture.log_weights,
        20 * torch.tensor([[1.0, 0], [0, 1], [-1, -1]]).double(),
        mixture.basis,
        mixture.variances,
    )
    shares = mode_shares(apart.sample(20_000, torch.Generator().manual_seed(10)), apart)
    assert total_variation(shares, apart.log_weights.exp()) < 0.02


@given(steps=st.integers(1, 20), data=st.data())
def test_cosines_are_orthonormal(steps, data):
    basis = cosines(steps, data.draw(st.integers(1, steps)))
    identity = torch.eye(basis.shape[1], dtype=torch.float64)
    assert torch.allclose(basis.mT @ basis, identity, atol=1e-10)


@pytest.mark.parametrize(
    ("family", "size", "groups"),
    [
        (TrajectoryFamily(), 32, 1),
        (TrajectoryFamily(agents=3, steps=12, group=3), 72, 1),
        (TrajectoryFamily(agents=5, steps=8, dimension=3, rank=2), 120, 3),
        (TrajectoryFamily(agents=8, steps=16), 256, 4),
    ],
)
def test_trajectory_families(family, size, groups):
    """Sizes, low ranks, modes that end at their places, and a cost that few combinations meet."""
    problem = family.problem()
    assert problem.size == family.size == size
    assert len(problem.oracle.groups) == groups
    for policy in problem.policies:
        mixture = policy.mixture
        assert mixture.variances.shape == (family.modes, family.rank * family.dimension)
        assert torch.allclose(mixture.log_weights.exp().sum(), torch.tensor(1.0).double())
        assert torch.allclose(mixture.means @ family.readout().mT, family.places(), atol=1e-9)
        ends = family.readout() @ mixture.basis[0]
        spread = (ends.square() * mixture.variances[0]).sum(-1).sqrt()
        assert torch.allclose(spread, torch.full_like(spread, family.spread))
    oracle = problem.oracle
    assert float(oracle.expected_cost()) < 0.05 * float(oracle.unguided_cost())
    draws = oracle.sample(4_000, torch.Generator().manual_seed(0))
    cost = problem.cost(draws)
    error = 6 * float(cost.std()) / len(draws) ** 0.5
    assert float(cost.mean()) == pytest.approx(float(oracle.expected_cost()), abs=error)


def test_only_like_modes_can_meet():
    problem = TrajectoryFamily().problem()
    weights = problem.oracle.groups[0].target.log_weights.exp().reshape(3, 3)
    assert float(weights.diagonal().sum()) > 0.99


def test_too_many_combinations_of_modes_are_refused_by_name():
    family = TrajectoryFamily(agents=8, steps=4, modes=4, group=8)
    with pytest.raises(SpecificationError, match="keep it factored"):
        _ = family.problem().oracle


def test_impossible_families_are_refused():
    with pytest.raises(SpecificationError, match="rank"):
        TrajectoryFamily(steps=2, rank=3)


@given(generator=generators(), sizes=st.lists(st.integers(1, 3), min_size=2, max_size=3))
def test_joint_mixtures_are_products_of_densities(generator, sizes):
    parts = [random_mixture(size, 2, generator) for size in sizes]
    x = torch.randn(4, sum(sizes), generator=generator, dtype=torch.float64)
    separate = sum(
        part.log_density(columns) for part, columns in zip(parts, x.split(sizes, -1), strict=True)
    )
    assert torch.allclose(joint_mixture(parts).log_density(x), separate, atol=1e-9)


def test_impulses_find_an_affine_map():
    matrix = torch.tensor([[1.0, 2.0], [0.0, 3.0], [4.0, 0.5]]).double()

    def run(context):
        return torch.cat([context.noise.normal(2), context.noise.normal(1)], -1) @ matrix + 7.0

    moments = propagate(run, TrajectoryFamily().problem().context(), 5)
    assert torch.allclose(moments.mean, torch.full((2,), 7.0).double())
    assert torch.allclose(moments.covariance, matrix.mT @ matrix)
    with pytest.raises(ValueError, match="noise values"):
        ImpulseNoise(3).normal(4)


def test_reverse_sde_ends_in_the_data():
    mixture = random_mixture(3, 1, torch.Generator().manual_seed(11))
    moments = reverse_sde_moments(mixture.mean(), mixture.covariance(), 1e4, 1e-6)
    assert torch.allclose(moments.mean, mixture.mean(), atol=1e-6)
    assert torch.allclose(moments.covariance, mixture.covariance(), atol=1e-6)


class Unknown(BasePolicy):
    """A policy of which only the denoiser is known."""

    def __init__(self):
        self.spec = MixturePolicy(
            random_mixture(2, 1, torch.Generator().manual_seed(0)), action_spec(1, 2)
        ).spec
        self.normaliser = Normaliser.identity(2)

    def denoiser(self, observation: Observation):
        return lambda noisy, sigma: noisy


def test_parts_that_cannot_be_exact_say_so():
    product = ProductPolicy([Factor(Unknown(), (0,), blind)])
    with pytest.raises(SpecificationError, match="Unknown"):
        conditioned_parts(product, {})
    with pytest.raises(SpecificationError, match="dimensions"):
        MixturePolicy(random_mixture(2, 1, torch.Generator().manual_seed(0)), action_spec(3, 1))
