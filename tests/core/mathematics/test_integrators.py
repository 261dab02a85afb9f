"""Few-step integrators: measured orders, what is exact, and how much variance a few calls keep."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.planning import Descent, NoiseSource, PlanContext
from codi_core.samplers import (
    AncestralSampler,
    CalibratedSampler,
    DpmSolverSampler,
    EulerMaruyamaSampler,
    HeunSampler,
    KarrasSchedule,
)
from codi_core.testing import (
    GaussianMixture,
    plain_layout,
    propagate,
    reverse_sde_moments,
    sampler_moments,
)
from tests.strategies import generators, random_mixture

HIGH, LOW = 10.0, 0.05
ODE = [HeunSampler(), DpmSolverSampler()]
SDE = [
    AncestralSampler(),
    CalibratedSampler(),
    EulerMaruyamaSampler(),
    DpmSolverSampler(eta=1.0),
    DpmSolverSampler(eta=0.5),
]
NAMES = ["heun", "dpm-solver", "ancestral", "calibrated", "euler-maruyama", "sde", "eta 0.5"]
MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.5], [0.5, 0.6]], dtype=torch.float64)


def gaussian():
    return GaussianMixture.gaussian(MEAN, COVARIANCE)


def context(worlds=1, size=2):
    noise = NoiseSource([(4, world, 0) for world in range(worlds)])
    return PlanContext(noise, {}, plain_layout(size))


def falling(steps, high=HIGH, low=LOW):
    """So many steps in equal ratios, and the one to zero, in float64."""
    ramp = torch.arange(steps + 1, dtype=torch.float64) / steps
    return torch.cat([high * (low / high) ** ramp, ramp.new_zeros(1)])


def starts(count=64):
    generator = torch.Generator().manual_seed(0)
    return HIGH * torch.randn(count, 2, dtype=torch.float64, generator=generator)


def orders(table):
    return [math.log2(coarse / fine) for coarse, fine in zip(table, table[1:], strict=False)]


# -- the ODE ------------------------------------------------------------------------------------


def flow(noisy):
    """The probability flow of the Gaussian from HIGH to LOW, and the step to zero: closed form."""
    variances, basis = torch.linalg.eigh(COVARIANCE)
    shrink = ((variances + LOW**2) / (variances + HIGH**2)).sqrt()
    return gaussian().denoise(MEAN + ((noisy - MEAN) @ basis * shrink) @ basis.mT, LOW)


@pytest.mark.parametrize("sampler", ODE, ids=NAMES[:2])
def test_order_two_on_the_flow_of_a_gaussian(sampler):
    """Half the step, a quarter of the error; the limit is the exact flow."""
    table = []
    for steps in (32, 64, 128, 256):
        found = sampler.integrate(gaussian().denoise, starts(), Descent(falling(steps)), context())
        table.append(float((found - flow(starts())).norm(dim=-1).mean()))
    assert orders(table) == pytest.approx([2.0] * 3, abs=0.1)
    assert table[-1] < 1e-4


@pytest.mark.parametrize("sampler", ODE, ids=NAMES[:2])
@pytest.mark.parametrize("rho", [1.5, 7.0])
def test_order_two_on_a_mixture_also_with_uneven_steps(sampler, rho):
    """Against a fine solution by the other method: both have one limit."""
    mixture = random_mixture(2, 3, torch.Generator().manual_seed(1))
    other = ODE[1 - ODE.index(sampler)]

    def solved(method, steps):
        levels = KarrasSchedule(steps, HIGH, 0.2, rho).levels().double()
        return method.integrate(mixture.denoise, starts(), Descent(levels), context())

    exact = solved(other, 768)
    table = [float((solved(sampler, steps) - exact).norm(dim=-1).mean()) for steps in (32, 64, 128)]
    assert all(1.75 < order < 2.5 for order in orders(table))


@pytest.mark.parametrize("sampler", ODE, ids=NAMES[:2])
def test_an_ode_draws_no_noise_on_the_way(sampler):
    drawn = context()
    found = sampler.integrate(gaussian().denoise, starts(), Descent(falling(8)), drawn)
    again = sampler.integrate(gaussian().denoise, starts(), Descent(falling(8)), drawn)
    assert not sampler.stochastic and torch.equal(found, again)
    assert torch.equal(drawn.noise.normal(3), context().noise.normal(3))


# -- the SDE ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "order"), [(SDE[0], 1.0), (SDE[1], 1.0), (SDE[2], 1.0), (SDE[3], 2.0)]
)
def test_weak_order_on_a_gaussian(sampler, order):
    """Errors of the covariance, propagated exactly: DPM-Solver++ 2M is of order 2 here, too."""
    at_end = reverse_sde_moments(MEAN, COVARIANCE, HIGH, LOW)
    gain = gaussian().jacobian(MEAN, LOW)
    exact = gain @ at_end.covariance @ gain.mT
    table = []
    for steps in (64, 128, 256):
        levels = falling(steps)

        def run(plan, levels=levels):
            noisy = HIGH * plan.noise.normal(2)
            return sampler.integrate(gaussian().denoise, noisy, Descent(levels), plan)

        moments = propagate(run, context(), 2 * (steps + 2))
        table.append(float((moments.covariance - exact).norm()))
        assert torch.allclose(moments.mean, MEAN + gain @ (at_end.mean - MEAN), atol=1e-9)
    assert orders(table) == pytest.approx([order] * 2, abs=0.07)


@attrs.define
class BrownianNoise:
    """Noise of steps that are ``every`` times as long, all from one path per world.

    An ancestral step's noise, divided by t'², has the variance 1/t'² - 1/t²: it is an increment of
    Brownian motion in 1/t², and those of short steps add up to that of a long one.
    """

    increments: torch.Tensor
    variances: torch.Tensor
    every: int
    at: int = 0

    def normal(self, *shape):
        steps = slice(self.at, self.at + self.every)
        self.at += self.every
        return self.increments[:, steps].sum(1) / self.variances[steps].sum().sqrt()


@pytest.mark.parametrize("sampler", [SDE[0], SDE[3]], ids=["ancestral", "sde"])
def test_strong_order_is_one(sampler):
    """Samples of long steps against those of 512 short ones with the same Brownian paths."""
    fine, generator = 512, torch.Generator().manual_seed(3)
    levels = falling(fine)
    variances = (1 / levels[:-1].square()).diff()
    normal = torch.randn(256, fine, 2, dtype=torch.float64, generator=generator)
    increments = normal * variances.sqrt().unsqueeze(-1)

    def sampled(steps):
        every = fine // steps
        noise = BrownianNoise(increments, variances, every)
        plan = attrs.evolve(context(), noise=noise)
        chosen = torch.cat([levels[:-1][::every], levels[-1:]])
        return sampler.integrate(gaussian().denoise, starts(256), Descent(chosen), plan)

    exact = sampled(fine)
    table = [
        float((sampled(steps) - exact).square().sum(-1).mean().sqrt()) for steps in (8, 16, 32)
    ]
    assert orders(table) == pytest.approx([1.0] * 2, abs=0.2)


def test_the_sde_form_begins_with_an_ancestral_step():
    """With one step there is nothing to look back to."""
    found = [
        sampler.integrate(gaussian().denoise, starts(1), Descent(falling(1)), context())
        for sampler in (AncestralSampler(), DpmSolverSampler(eta=1.0))
    ]
    assert torch.allclose(*found, atol=1e-12)


# -- what is exact ------------------------------------------------------------------------------


@given(steps=st.integers(1, 9), value=st.floats(-3, 3), generator=generators())
def test_what_the_denoiser_always_says_is_returned(steps, value, generator):
    """From anywhere, with axes between worlds and values, and one level per world."""
    noisy = 5 * torch.randn(3, 4, 2, generator=generator)
    levels = KarrasSchedule(steps).levels().unsqueeze(-1) * torch.tensor([1.0, 0.5, 0.01])
    for sampler in (*ODE, *SDE):
        plan = context(3)
        found = sampler.integrate(
            lambda noisy, sigma: torch.full_like(noisy, value), noisy, Descent(levels), plan
        )
        assert torch.equal(found, torch.full_like(noisy, value))


@given(
    steps=st.integers(1, 12),
    spread=st.floats(0.05, 5.0),
    rho=st.floats(1.0, 9.0),
    generator=generators(),
)
def test_calibrated_steps_are_exact_for_data_of_their_variance(steps, spread, rho, generator):
    """N(μ, σ_d² I): with any number of steps the moments are those of the SDE itself."""
    centre = torch.randn(3, generator=generator, dtype=torch.float64)
    covariance = spread**2 * torch.eye(3, dtype=torch.float64)
    data = GaussianMixture.gaussian(centre, covariance)
    schedule = KarrasSchedule(steps, HIGH, 0.1, rho)
    found = sampler_moments(CalibratedSampler(schedule, spread), data.denoise, 3)
    last = float(schedule.levels()[-2])
    at_end = reverse_sde_moments(centre, covariance, HIGH, last)
    gain = spread**2 / (spread**2 + last**2)
    assert torch.allclose(found.mean, centre + gain * (at_end.mean - centre), atol=1e-5)
    assert torch.allclose(found.covariance, gain**2 * at_end.covariance, rtol=1e-4, atol=1e-7)


def test_calibrated_steps_for_data_without_variance_are_ancestral():
    tiny = CalibratedSampler(KarrasSchedule(5), 1e-30)
    for mixture in (gaussian(), random_mixture(2, 2, torch.Generator().manual_seed(2))):
        found = [
            sampler.sample(mixture.denoise, 2, context(4))
            for sampler in (tiny, AncestralSampler(KarrasSchedule(5)))
        ]
        assert torch.allclose(*found, atol=1e-6)


def test_ancestral_steps_are_those_of_ddpm_to_the_last_bit():
    """The default sampler's results must not move: its formula, written out."""
    mixture = random_mixture(2, 3, torch.Generator().manual_seed(5))
    levels, noise = KarrasSchedule(7).levels(), context(6).noise
    noisy = levels[0] * noise.normal(2)
    for sigma, after in zip(levels, levels[1:], strict=False):
        denoised, shrink = mixture.denoise(noisy, sigma), (after / sigma).square()
        noisy = denoised + shrink * (noisy - denoised)
        if after > 0:
            noisy = noisy + after * (1 - shrink).sqrt() * noise.normal(2)
    found = AncestralSampler(KarrasSchedule(7)).sample(mixture.denoise, 2, context(6))
    assert torch.equal(found, noisy)


# -- how much variance few steps keep ------------------------------------------------------------


def kept(sampler, levels):
    """The variance that an ODE sampler leaves of N(0, 1), where D = a/(1 + t²): numbers alone."""
    share, before = 1.0, None  # of a_t in the first noise
    for sigma, after in zip(levels, levels[1:], strict=False):
        denoised = share / (1 + sigma**2)
        if after == 0:
            return (levels[0] * denoised) ** 2
        if isinstance(sampler, HeunSampler):
            slope = (share - denoised) / sigma
            euler = share + (after - sigma) * slope
            share += (after - sigma) * (slope + (euler - euler / (1 + after**2)) / after) / 2
            continue
        centre = denoised
        if before is not None:
            reach = math.log(sigma / after) / math.log(before[1] / sigma) / 2
            centre += reach * (denoised - before[0])
        share, before = centre + after / sigma * (share - centre), (denoised, sigma)
    raise AssertionError


@pytest.mark.parametrize("sampler", ODE, ids=NAMES[:2])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6, 8])
def test_an_ode_keeps_the_variance_that_its_recursion_says(sampler, steps):
    schedule = KarrasSchedule(steps, HIGH, LOW, 7.0)
    unit = GaussianMixture.gaussian(torch.zeros(1).double(), torch.eye(1).double())
    found = sampler_moments(attrs.evolve(sampler, schedule=schedule), unit.denoise, 1)
    assert float(found.covariance) == pytest.approx(
        kept(sampler, schedule.levels().tolist()), rel=1e-4
    )


@pytest.mark.parametrize(
    ("sampler", "rho", "shares"),
    [
        (AncestralSampler(), 5.0, [0.24, 0.40, 0.61]),
        (CalibratedSampler(), 5.0, [1.0, 1.0, 1.0]),
        (EulerMaruyamaSampler(), 5.0, [13.5, 2.99, 1.63]),
        (DpmSolverSampler(), 5.0, [0.81, 1.19, 1.08]),
        (DpmSolverSampler(), 100.0, [0.67, 1.05, 1.02]),
        (DpmSolverSampler(eta=1.0), 100.0, [0.46, 1.04, 1.05]),
        (HeunSampler(), 5.0, [3.4, 1.33, 1.06]),
    ],
)
def test_the_variance_that_4_8_and_16_levels_keep_of_a_unit_gaussian(sampler, rho, shares):
    """Ancestral steps lose most of it, calibrated ones nothing, and long Heun steps add to it."""
    unit = GaussianMixture.gaussian(torch.zeros(1).double(), torch.eye(1).double())
    found = []
    for steps in (4, 8, 16):
        schedule = KarrasSchedule(steps, 40.0, LOW, rho)
        moments = sampler_moments(attrs.evolve(sampler, schedule=schedule), unit.denoise, 1)
        found.append(float(moments.covariance))
    assert found == pytest.approx(shares, rel=0.02)
