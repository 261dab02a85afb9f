"""The posteriors beyond the paper's, against the exact mean and covariance of Eq. 16."""

from __future__ import annotations

import attrs
import pytest
import torch

from codi_core.errors import SpecificationError
from codi_core.guidance import MonteCarloGuidance
from codi_core.policies import ActionSpec, DiffusionPolicy, Factor, PolicySpec, ProductPolicy
from codi_core.posteriors import (
    CorrelatedPosterior,
    DataCovariancePosterior,
    DenoisedPosterior,
    IsotropicPosterior,
    JacobianPosterior,
    MatchedPosterior,
    PosteriorQuery,
)
from codi_core.posteriors.covariance import factor_jacobians, symmetric_root
from codi_core.samplers import AncestralSampler, KarrasSchedule, base_samples, falling_levels
from codi_core.testing import MixturePolicy, Problem, TrajectoryFamily, action_spec
from tests.core.estimators.problems import (
    KEYS,
    correlated_gaussian,
    gaussian_problem,
    mixture_problem,
    moment_errors,
    noisy_points,
    query_of,
)
from tests.strategies import random_mixture, random_quadratic

# torch compiles rules of forward-mode differentiation on first use, and warns about how.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

POSTERIORS = [
    CorrelatedPosterior(),
    JacobianPosterior(),
    JacobianPosterior(cap=1.0),
    DataCovariancePosterior(estimate_from=16, steps=4),
    DenoisedPosterior(),
]
NAMES = ["correlated", "jacobian", "capped", "data-covariance", "denoised"]


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0, 40.0])
@pytest.mark.parametrize("make", [gaussian_problem, mixture_problem])
def test_the_jacobian_gives_the_exact_moments(make, sigma):
    """Also of a mixture: Eq. 16 gives the covariance of any distribution. 20 000 draws."""
    mean, covariance = moment_errors(make(), JacobianPosterior(), sigma)
    assert mean < 0.03 and covariance < 0.05


def test_one_tangent_probes_all_factors():
    """The Jacobian's blocks are the exact ones, and cost one pass with n tangents."""
    problem = mixture_problem(3)
    noisy = noisy_points(problem, 2, 0.7)
    query, passes = query_of(problem, noisy, 0.7), []

    def counted(points, sigma):
        passes.append(points.shape)
        return problem.denoiser()(points, sigma)

    found = factor_jacobians(attrs.evolve(query, denoiser=counted))
    exact = problem.oracle.base.jacobian(noisy.double(), 0.7)
    for jacobian, block in zip(found, problem.product.blocks, strict=True):
        assert torch.allclose(jacobian.double(), exact[:, block, block], atol=1e-6)
    assert passes == [(2, 6)]


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_the_jacobian_of_a_network_is_that_of_reverse_mode(network):
    spec = PolicySpec(ActionSpec(("x", "y"), 8), {"seen": (3,)})
    options = {"width": 16, "depth": 1} if network == "mlp" else {"widths": (16, 32)}
    policy = DiffusionPolicy.build(spec, network, **options)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    product = ProductPolicy([Factor(policy, (agent,), lambda seen: seen) for agent in (0, 1)])
    noisy, level = torch.randn(2, product.size), torch.tensor([0.5, 2.0])
    denoiser = product.denoiser({"seen": torch.randn(2, 1, 3)})
    context = attrs.evolve(gaussian_problem().context(2), layout=product.layout)
    with torch.no_grad():
        query = PosteriorQuery(noisy, level, denoiser(noisy, level), denoiser, context)
        found = factor_jacobians(query)
    whole = torch.autograd.functional.jacobian(lambda point: denoiser(point, level), noisy)
    for jacobian, block in zip(found, product.blocks, strict=True):
        for world in range(2):
            expected = whole[world, block, world, block]
            assert torch.allclose(jacobian[world], expected, atol=1e-5)


def test_a_cap_limits_the_spread_between_modes():
    """Between two modes the exact variance exceeds t²."""
    problem = TrajectoryFamily(spread=0.05).problem()
    middles = [policy.mixture.means[:2].mean(0) for policy in problem.policies]
    noisy, sigma = torch.cat(middles)[None].float(), 0.5
    query = query_of(problem, noisy, sigma)
    largest = {}
    for cap in (None, 1.0, 0.25):
        draws = JacobianPosterior(cap).draw(query, 20_000).samples[0].double()
        spread = draws[:, problem.product.blocks[0]].T.cov()
        largest[cap] = float(torch.linalg.eigvalsh(spread)[-1]) / sigma**2
    assert largest[None] > 1.5
    assert largest[1.0] == pytest.approx(1.0, abs=0.05)
    assert largest[0.25] == pytest.approx(0.25, abs=0.02)
    with pytest.raises(ValueError, match="cap must be positive"):
        JacobianPosterior(0.0)


def test_eigenvalues_are_floored_at_zero():
    root = symmetric_root(torch.diag(torch.tensor([4.0, -1.0, 0.0]).double()))
    assert torch.allclose(root, torch.diag(torch.tensor([2.0, 0.0, 0.0]).double()), atol=1e-5)
    assert torch.equal(symmetric_root(torch.zeros(2, 2).double()), torch.zeros(2, 2).double())


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_data_covariance_is_exact_for_gaussians(sigma):
    problem = correlated_gaussian()
    given = DataCovariancePosterior(problem.oracle.base.covariance())
    mean, covariance = moment_errors(problem, given, sigma)
    assert mean < 0.03 and covariance < 0.05
    estimated = DataCovariancePosterior(estimate_from=4_000, steps=64)
    mean, covariance = moment_errors(problem, estimated, sigma)
    assert mean < 0.03 and covariance < 0.12


def test_data_covariance_is_estimated_once_a_plan():
    problem = gaussian_problem()
    posterior, context = DataCovariancePosterior(steps=4), problem.context(2)
    query, calls = query_of(problem, torch.zeros(2, 6), 1.0, context=context), []

    def counted(points, sigma):
        calls.append(points.shape)
        return problem.denoiser()(points, sigma)

    query = attrs.evolve(query, denoiser=counted)
    posterior.draw(query, 8)
    posterior.draw(query, 8)
    assert calls == [(2, 64, 6)] * 4
    with pytest.raises(SpecificationError, match=r"needs \(6, 6\)"):
        DataCovariancePosterior(torch.eye(2)).draw(query, 8)


@pytest.mark.parametrize("uneven", [False, True])
def test_correlated_draws_have_the_stated_covariance(uneven):
    """s² exp(-|k - l|/τ) between steps, nothing between the values of an action or factors."""
    generator, horizon, sigma = torch.Generator().manual_seed(0), 4, 3.0
    sizes = (2, 1) if uneven else (1, 1)
    policies = tuple(
        MixturePolicy(random_mixture(horizon * size, 1, generator), action_spec(horizon, size))
        for size in sizes
    )
    problem = Problem(policies, random_quadratic(horizon * sum(sizes), generator))
    noisy = noisy_points(problem, 1, sigma)
    query = query_of(problem, noisy, sigma)
    posterior = CorrelatedPosterior(steps=2.0, sigma_data=4.0)
    draws = posterior.draw(query, 60_000).samples[0].double()
    assert torch.allclose(draws.mean(0), query.denoised[0].double(), atol=0.05)
    step = torch.arange(horizon).double()
    smooth = torch.exp(-(step[:, None] - step).abs() / 2)
    blocks = [torch.kron(smooth, torch.eye(size)) for size in sizes]
    # 1/(1/3² + 1/4²) = 5.76.
    assert torch.allclose(draws.T.cov(), 5.76 * torch.block_diag(*blocks), atol=0.12)


def test_correlated_draws_without_memory_are_matched_ones():
    problem = gaussian_problem()
    query = [query_of(problem, noisy_points(problem, 2, 1.5), 1.5) for _ in range(2)]
    smooth = CorrelatedPosterior(steps=1e-3, sigma_data=2.0).draw(query[0], 50).samples
    assert torch.allclose(smooth, MatchedPosterior(2.0).draw(query[1], 50).samples, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_denoising_on_converges_to_the_exact_moments(sigma):
    """Few steps draw too narrowly; the error falls with the steps, also for mixtures."""
    problem = mixture_problem(5)
    errors = [
        moment_errors(problem, DenoisedPosterior(steps), sigma, count=8_000)[1]
        for steps in (2, 8, 64)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.12


def test_base_samples_are_samples_of_the_product_policy():
    problem = mixture_problem(6)
    samples = base_samples(problem.denoiser(), 8_000, 48, problem.context(1))[0].double()
    base = problem.oracle.base
    assert torch.allclose(samples.mean(0), base.mean(), atol=0.06)
    spread = base.covariance().diagonal().sqrt()
    error = (samples.T.cov() - base.covariance()) / spread[:, None] / spread
    assert error.abs().max() < 0.2


def test_levels_fall_to_the_end_and_then_to_zero():
    levels = falling_levels(torch.tensor([8.0, 0.01]), 0.5, 3)
    assert torch.allclose(levels, torch.tensor([[8.0, 0.01], [2.0, 0.01], [0.5, 0.01], [0, 0]]))


@pytest.mark.parametrize("posterior", POSTERIORS, ids=NAMES)
@pytest.mark.parametrize("sigma", [0.05, 40.0])
def test_all_draws_narrow_to_the_data(posterior, sigma):
    """None is broader than t², and at high noise none is much broader than the data."""
    problem = gaussian_problem()
    query = query_of(problem, noisy_points(problem, 2, sigma), sigma)
    spread = posterior.draw(query, 2_000).samples.std(1).max()
    assert float(spread) < min(1.1 * sigma, 2.0)
    broad = IsotropicPosterior().draw(query, 2_000).samples.std(1).max()
    assert float(broad) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("posterior", POSTERIORS, ids=NAMES)
def test_levels_of_each_world_of_their_own(posterior):
    """A world with its own noise level draws as it does with that level for all."""
    problem = gaussian_problem()
    noisy, levels = noisy_points(problem, 3, 1.0), torch.tensor([0.2, 1.0, 5.0])
    together = posterior.draw(query_of(problem, noisy, levels), 8).samples
    for world, level in enumerate(levels):
        alone = posterior.draw(query_of(problem, noisy, level), 8).samples
        assert torch.allclose(alone[world], together[world], atol=1e-5)


@pytest.mark.parametrize("posterior", POSTERIORS, ids=NAMES)
def test_a_world_planned_alone_or_in_a_batch_agrees(posterior):
    problem = TrajectoryFamily().problem()
    guidance = MonteCarloGuidance(posterior, 16, problem.temperature)
    planner = problem.coordinated(guidance, AncestralSampler(KarrasSchedule(8)))
    together = planner.plan(problem.context_of(KEYS)).flat
    assert torch.equal(together, planner.plan(problem.context_of(KEYS)).flat)
    for row, key in zip(together, KEYS, strict=True):
        alone = planner.plan(problem.context_of([key])).flat[0]
        assert torch.allclose(row, alone, atol=1e-5)
