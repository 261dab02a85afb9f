"""The guidances beyond the paper's, against the exact g^J of Eq. 12."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import CostError
from codi_core.guidance import (
    HybridGuidance,
    LibraryGuidance,
    MonteCarloGuidance,
    ReparameterizedGuidance,
    least_temperature,
    sample_weights,
)
from codi_core.posteriors import IsotropicPosterior, JacobianPosterior, MatchedPosterior
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.testing import Problem, TrajectoryFamily, single_gaussian
from tests.core.estimators.problems import (
    KEYS,
    gaussian_problem,
    mixture_problem,
    noisy_points,
)
from tests.strategies import cost_arrays, random_quadratic

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


def estimate(problem, guidance, noisy, sigma, seed=0):
    """t² g^J as estimated, and its exact value, (B, D) each."""
    context, denoiser = problem.context(len(noisy), seed), problem.denoiser()
    level = torch.as_tensor(sigma)
    guided = guidance.guide(denoiser, problem.evaluate(), context)
    found = (guided(noisy, level) - denoiser(noisy, level)).double()
    return found, problem.oracle.shift(noisy.double(), level.double())


def relative_error(problem, guidance, sigma, worlds=64):
    noisy = noisy_points(problem, worlds, sigma)
    found, exact = estimate(problem, guidance, noisy, sigma)
    return float((found - exact).norm() / exact.norm())


def guidances(problem, samples=16, ess=0.0):
    scale, jacobian = (samples, problem.temperature), JacobianPosterior()
    library = LibraryGuidance(*scale, ess=ess)
    local = MonteCarloGuidance(jacobian, *scale, ess)
    return {
        "library": library,
        "hybrid": HybridGuidance(library, local, 0.5),
        "monte-carlo": local,
        "reparameterized": ReparameterizedGuidance(MatchedPosterior(), *scale, ess),
    }


@pytest.mark.parametrize("sigma", [1.0, 5.0, 40.0])
@pytest.mark.parametrize("make", [gaussian_problem, mixture_problem])
def test_the_library_converges_to_the_exact_score(make, sigma):
    """With many samples, which many steps have made."""
    problem = make()
    guidance = LibraryGuidance(20_000, problem.temperature, steps=48)
    found, exact = estimate(problem, guidance, noisy_points(problem, 2, sigma), sigma)
    assert torch.allclose(found, exact, atol=0.1)


def test_the_library_fails_at_low_noise_and_the_jacobian_does_not():
    problem = TrajectoryFamily().problem()
    kinds = guidances(problem, 64)
    assert relative_error(problem, kinds["library"], 2.0) < 1.3
    assert relative_error(problem, kinds["monte-carlo"], 0.1) < 0.7
    assert relative_error(problem, kinds["library"], 0.1) > 1.5
    printed = MonteCarloGuidance(IsotropicPosterior(), 64, problem.temperature)
    for name in ("library", "monte-carlo"):
        better = relative_error(problem, kinds[name], 2.0)
        assert relative_error(problem, printed, 2.0) > 3 * better


def test_the_library_is_rolled_out_once():
    problem, calls = gaussian_problem(), []

    def evaluate(samples):
        calls.append(samples.shape)
        return problem.cost(samples)

    guided = LibraryGuidance(32, 1.0).guide(problem.denoiser(), evaluate, problem.context(3))
    for level in (10.0, 1.0, 0.1):
        guided(torch.zeros(3, 6), torch.tensor(level))
    assert calls == [(3, 32, 6)]


def test_hybrid_is_one_guidance_on_each_side():
    """Also where worlds stand on both sides: each as if it were alone."""
    problem = gaussian_problem()
    kinds = guidances(problem)
    noisy = noisy_points(problem, 2, 1.0)
    far, _ = estimate(problem, kinds["library"], noisy, 2.0)
    assert torch.equal(estimate(problem, kinds["hybrid"], noisy, 2.0)[0], far)
    context, level = problem.context(2), torch.tensor([2.0, 0.2])
    guided = kinds["hybrid"].guide(problem.denoiser(), problem.evaluate(), context)
    mixed = guided(noisy, level)
    for world in range(2):
        own = problem.context_of([(0, world, 0)])
        alone = kinds["hybrid"].guide(problem.denoiser(), problem.evaluate(), own)
        assert torch.allclose(
            alone(noisy[world : world + 1], level[world])[0], mixed[world], atol=1e-5
        )
        assert torch.allclose(own.noise.normal(1)[0], context.noise.normal(1)[world]) or world


def test_reparameterized_converges_to_the_exact_score():
    """Where the posterior is exact and its samples move as the exact ones do."""
    problem = gaussian_problem(2)
    for sigma in (0.3, 2.0):
        guidance = ReparameterizedGuidance(JacobianPosterior(), 20_000, problem.temperature)
        found, exact = estimate(problem, guidance, noisy_points(problem, 2, sigma), sigma)
        assert torch.allclose(found, exact, atol=0.02)


def test_reparameterized_has_the_lower_variance():
    """At equal samples: footnote 3 of the paper, for a weak cost."""
    policy = single_gaussian(torch.zeros(2).double(), torch.eye(2).double())
    problem = Problem((policy,), random_quadratic(2, torch.Generator().manual_seed(3)), 20.0)
    plain = MonteCarloGuidance(MatchedPosterior(), 16, problem.temperature)
    better = ReparameterizedGuidance(MatchedPosterior(), 16, problem.temperature)
    assert relative_error(problem, better, 1.0) < 0.5 * relative_error(problem, plain, 1.0)


def test_reparameterized_names_a_cost_without_gradient():
    problem = gaussian_problem()
    guidance = ReparameterizedGuidance(MatchedPosterior(), 4, 1.0)
    guided = guidance.guide(
        problem.denoiser(), lambda flat: problem.cost(flat).detach(), problem.context(1)
    )
    with pytest.raises(CostError, match="differentiable"):
        guided(torch.zeros(1, 6), torch.tensor(1.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_reparameterized_goes_on_without_lost_samples(bad):
    problem = gaussian_problem()
    guidance = ReparameterizedGuidance(MatchedPosterior(), 8, problem.temperature)

    def evaluate(flat):
        cost = problem.cost(flat)
        lost = torch.zeros_like(cost, dtype=torch.bool)
        lost[0, :4], lost[1] = True, True
        return torch.where(lost, bad, cost)

    context = problem.context(2)
    noisy, level = torch.zeros(2, 6), torch.tensor(1.0)
    shift = guidance.guide(problem.denoiser(), evaluate, context)(noisy, level)
    shift = shift - problem.denoiser()(noisy, level)
    assert torch.isfinite(shift).all()
    assert shift[0].abs().max() > 0 and shift[1].abs().max() == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_temperature_leaves_the_wanted_share(share):
    generator = torch.Generator().manual_seed(4)
    cost = torch.randn(5, 64, generator=generator).double() * torch.logspace(-6, 12, 5)[:, None]
    own = torch.randn(5, 64, generator=generator).double()
    for log_weights in (None, own):
        temperature = least_temperature(cost, 1e-9, share, log_weights)
        size = sample_weights(cost, temperature, log_weights).effective_sample_size()
        whole = sample_weights(torch.zeros_like(cost), 1.0, log_weights).effective_sample_size()
        assert torch.allclose(size, share * whole, rtol=1e-4)


def test_the_temperature_is_not_lowered():
    cost = torch.randn(3, 16, generator=torch.Generator().manual_seed(5))
    assert torch.equal(least_temperature(cost, 1e6, 0.5), torch.full((3, 1), 1e6).double())
    assert least_temperature(cost, 0.1, 0.0) == 0.1
    equal = least_temperature(torch.ones(1, 8), 0.1, 0.5)
    assert float(equal) == pytest.approx(0.1)


@given(cost=cost_arrays(), share=st.floats(0.01, 0.99), temperature=st.floats(1e-6, 1e6))
def test_the_temperature_is_finite_for_any_cost(cost, share, temperature):
    found = least_temperature(cost, temperature, share)
    assert torch.isfinite(found).all() and (found >= temperature * (1 - 1e-9)).all()
    weights = sample_weights(cost, found)
    assert torch.isfinite(weights.tilted).all()
    tied = torch.isfinite(cost).sum(-1)
    size = weights.effective_sample_size()
    assert (size >= share * tied * (1 - 1e-6)).all()


@pytest.mark.parametrize("name", ["library", "hybrid", "monte-carlo", "reparameterized"])
def test_the_share_is_kept_at_each_step(name):
    problem = TrajectoryFamily(tolerance=0.02).problem()
    sizes = {}
    for share in (0.0, 0.5):
        guidance = guidances(problem, 32, share)[name]
        sampler = AncestralSampler(KarrasSchedule(6))
        plan = problem.coordinated(guidance, sampler).plan(problem.context(4))
        sizes[share] = torch.stack(plan.diagnostics.series["effective_sample_size"])
    assert sizes[0.5].mean() > 1.5 * sizes[0.0].mean()
    if name in ("monte-carlo", "reparameterized"):
        assert (sizes[0.5] >= 0.5 * 32 * (1 - 1e-6)).all()


@pytest.mark.parametrize("name", ["library", "hybrid", "monte-carlo", "reparameterized"])
def test_infinite_temperature_gives_the_product_policy(name):
    problem = mixture_problem(temperature=1e9)
    noisy = noisy_points(problem, 3, 0.4)
    assert estimate(problem, guidances(problem)[name], noisy, 0.4)[0].abs().max() < 1e-5


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("name", ["library", "hybrid", "reparameterized"])
def test_a_world_planned_alone_or_in_a_batch_agrees(name, share):
    problem = TrajectoryFamily(tolerance=0.3).problem()
    sampler = AncestralSampler(KarrasSchedule(8))
    planner = problem.coordinated(guidances(problem, 16, share)[name], sampler)
    together = planner.plan(problem.context_of(KEYS)).flat
    assert torch.isfinite(together).all()
    assert torch.equal(together, planner.plan(problem.context_of(KEYS)).flat)
    for row, key in zip(together, KEYS, strict=True):
        alone = planner.plan(problem.context_of([key])).flat[0]
        assert torch.allclose(row, alone, atol=1e-5)


def test_hybrid_samples_pi():
    """E[J]/λ near the exact value, which is 0.95 here, and 118 without guidance."""
    problem = TrajectoryFamily().problem()
    kinds = guidances(problem, 64)
    hybrid = HybridGuidance(kinds["library"], kinds["monte-carlo"], 1.0)
    sampler = AncestralSampler(KarrasSchedule(20, 40.0, 0.02, 5.0))
    flat = problem.coordinated(hybrid, sampler).plan(problem.context(48)).flat
    exact = float(problem.oracle.expected_cost())
    assert (
        float(problem.cost(flat).mean()) < 2 * exact < 0.02 * float(problem.oracle.unguided_cost())
    )
