"""Eq. 11: the samplers' convergence in the step, with moments propagated exactly."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import SpecificationError
from codi_core.planning import NoiseSource, PlanContext
from codi_core.samplers import AncestralSampler, EulerMaruyamaSampler, KarrasSchedule, Schedule
from codi_core.testing import (
    GaussianMixture,
    Oracle,
    energy_distance,
    plain_layout,
    reverse_sde_moments,
    sampler_moments,
)
from tests.strategies import generators, random_mixture, random_quadratic

SAMPLERS = [AncestralSampler, EulerMaruyamaSampler]
MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.5], [0.5, 0.6]], dtype=torch.float64)


def gaussian():
    return GaussianMixture.gaussian(MEAN, COVARIANCE)


def limit(schedule, mixture):
    """What infinitely many steps between the same two levels would give."""
    end = schedule.sigma_min
    at_end = reverse_sde_moments(mixture.mean(), mixture.covariance(), schedule.sigma_max, end)
    gain = mixture.jacobian(mixture.mean(), end)
    mean = mixture.mean() + gain @ (at_end.mean - mixture.mean())
    return mean, gain @ at_end.covariance @ gain.mT


def errors(sampler_type, steps):
    """How far mean and covariance are from their limits, after so many steps."""
    schedule = KarrasSchedule(steps, sigma_max=10.0, sigma_min=0.05, rho=5.0)
    mixture = gaussian()
    moments = sampler_moments(sampler_type(schedule), mixture.denoise, 2)
    mean, covariance = limit(schedule, mixture)
    return float((moments.mean - mean).norm()), float((moments.covariance - covariance).norm())


@pytest.mark.parametrize("sampler_type", SAMPLERS)
def test_weak_order_is_one(sampler_type):
    """Halving the step halves the error of the covariance."""
    table = torch.tensor([errors(sampler_type, steps)[1] for steps in (32, 64, 128, 256, 512)])
    orders = torch.log2(table[:-1] / table[1:])
    assert float(orders[-1]) == pytest.approx(1.0, abs=0.02)
    assert (orders > 0.9).all() and (orders < 1.15).all()


@pytest.mark.parametrize("sampler_type", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_mean_of_gaussians_is_exact_with_any_number_of_steps(sampler_type, steps):
    """A step multiplies the mean's distance by (v + t'^2)/(v + t^2), and these telescope."""
    schedule = KarrasSchedule(steps, sigma_max=10.0, sigma_min=0.05, rho=5.0)
    moments = sampler_moments(sampler_type(schedule), gaussian().denoise, 2)
    exact = reverse_sde_moments(MEAN, COVARIANCE, 10.0, 0.0).mean
    assert torch.allclose(moments.mean, exact, atol=1e-7)


@pytest.mark.parametrize("sampler_type", SAMPLERS)
def test_many_steps_sample_the_data(sampler_type):
    """With T large, sigma_min small and fine steps, the moments are those of the data."""
    schedule = KarrasSchedule(400, sigma_max=80.0, sigma_min=0.01, rho=7.0)
    moments = sampler_moments(sampler_type(schedule), gaussian().denoise, 2)
    assert torch.allclose(moments.mean, MEAN, atol=2e-3)
    assert torch.allclose(moments.covariance, COVARIANCE, atol=0.03)


@pytest.mark.parametrize("sampler_type", SAMPLERS)
def test_guided_denoisers_sample_the_composition(sampler_type):
    """Eq. 11 with the exact score of Eq. 12 ends in π of Eq. 7."""
    generator = torch.Generator().manual_seed(0)
    oracle = Oracle.of(random_mixture(3, 1, generator), random_quadratic(3, generator), 0.5)
    schedule = KarrasSchedule(400, sigma_max=80.0, sigma_min=0.005, rho=7.0)
    moments = sampler_moments(sampler_type(schedule), oracle.denoise, 3)
    assert torch.allclose(moments.mean, oracle.mean(), atol=2e-3)
    assert torch.allclose(moments.covariance, oracle.covariance(), atol=0.02)


def test_samplers_agree_in_the_mean_and_differ_in_the_noise():
    """Both take the same drift step; ancestral noise is the smaller by t'/t."""
    schedule = KarrasSchedule(8, 10.0, 0.05, 5.0)
    ancestral = sampler_moments(AncestralSampler(schedule), gaussian().denoise, 2)
    euler = sampler_moments(EulerMaruyamaSampler(schedule), gaussian().denoise, 2)
    assert torch.allclose(ancestral.mean, euler.mean, atol=1e-6)
    assert torch.linalg.eigvalsh(euler.covariance - ancestral.covariance).min() > 0


@given(steps=st.integers(1, 20), generator=generators())
def test_a_point_is_sampled_exactly(steps, generator):
    """Data concentrated in one point: any number of steps ends there, with either sampler."""
    point = torch.randn(3, generator=generator, dtype=torch.float64)
    for sampler_type in SAMPLERS:
        sampler = sampler_type(KarrasSchedule(steps))
        moments = sampler_moments(sampler, lambda noisy, sigma: point.expand_as(noisy), 3)
        assert torch.allclose(moments.mean, point, atol=1e-5)
        assert moments.covariance.abs().max() < 1e-8


def test_ancestral_steps_keep_the_noise_of_a_point():
    """Each intermediate level has exactly its own variance (the docstring's claim)."""
    levels = KarrasSchedule(6).levels()
    seen = []

    def record(noisy, sigma):
        seen.append(noisy)
        return torch.zeros_like(noisy)

    sampler_moments(AncestralSampler(KarrasSchedule(6)), record, 1)
    for noisy, sigma in zip(seen, levels[:-1], strict=True):
        assert float(noisy.square().sum()) == pytest.approx(float(sigma**2), rel=1e-5)


@pytest.mark.parametrize("sampler_type", SAMPLERS)
def test_mixtures_are_sampled(sampler_type):
    """Modes, weights and shapes come out right beyond Gaussians."""
    generator = torch.Generator().manual_seed(1)
    mixture = random_mixture(2, 3, generator)
    noise = NoiseSource([(2, world, 0) for world in range(1_500)])
    context = PlanContext(noise, {}, plain_layout(2))
    sampler = sampler_type(KarrasSchedule(64, 40.0, 0.01, 7.0))
    drawn = sampler.sample(mixture.denoise, 2, context)
    assert energy_distance(drawn, mixture.sample(1_500, generator)) < 0.02


@given(
    steps=st.integers(2, 50),
    low=st.floats(1e-3, 1),
    ratio=st.floats(1.1, 1e4),
    rho=st.floats(1, 10),
)
def test_karras_schedule_is_the_published_formula(steps, low, ratio, rho):
    """Eq. 5 of Karras et al. (2022), and a final zero."""
    high = low * ratio
    levels = KarrasSchedule(steps, high, low, rho).levels()
    expected = [
        (high ** (1 / rho) + i / (steps - 1) * (low ** (1 / rho) - high ** (1 / rho))) ** rho
        for i in range(steps)
    ]
    assert levels.shape == (steps + 1,)
    assert torch.allclose(levels[:-1].double(), torch.tensor(expected).double(), rtol=1e-5)
    assert float(levels[-1]) == 0 and (levels.diff() < 0).all()


def test_one_step_goes_from_the_highest_level_to_zero():
    assert KarrasSchedule(1, 40.0, 0.05).levels().tolist() == [40.0, 0.0]


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"sigma_min": 0.0},
        {"sigma_min": 50.0},
        {"rho": 0.0},
        {"sigma_max": float("nan")},
        {"sigma_min": float("nan")},
    ],
)
def test_impossible_schedules_are_refused(change):
    with pytest.raises(SpecificationError, match="sigma_min"):
        attrs.evolve(KarrasSchedule(), **change)


@attrs.frozen
class Halving(Schedule):
    """Noise levels that halve, of which only the interface is known."""

    steps: int
    sigma_max: float = 8.0

    @property
    def sigma_min(self):
        return self.sigma_max / 2 ** (self.steps - 1)

    def levels(self, device="cpu"):
        levels = self.sigma_max * 0.5 ** torch.arange(self.steps, device=device)
        return torch.cat([levels, levels.new_zeros(1)])

    def starting_at(self, sigma_max, steps):
        return Halving(steps, sigma_max)


@pytest.mark.parametrize("schedule", [KarrasSchedule(), KarrasSchedule(rho=2.0), Halving(3)])
@pytest.mark.parametrize("steps", [1, 4])
def test_each_world_has_levels_from_its_own(schedule, steps):
    first = torch.tensor([2.0, 5.0, 3.3])
    found = schedule.levels_from(first, steps)
    expected = [schedule.starting_at(float(level), steps).levels() for level in first]
    assert torch.allclose(found, torch.stack(expected, -1), rtol=1e-6, atol=0.0)
    assert torch.equal(found[0], first) and (found[-1] == 0).all()
