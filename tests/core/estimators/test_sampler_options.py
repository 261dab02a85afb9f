"""Parts that draw samples of their own, with the steps of other samplers than the ancestral one."""

from __future__ import annotations

import attrs
import pytest
import torch

from codi_core.composition import Resampling
from codi_core.composition.particles import sample_many
from codi_core.errors import SpecificationError, UsageError
from codi_core.guidance import LibraryGuidance
from codi_core.host.choices import make_part
from codi_core.host.plugins import load_plugins
from codi_core.host.records import MethodParts
from codi_core.posteriors import DataCovariancePosterior, DenoisedPosterior, PosteriorQuery
from codi_core.samplers import (
    AncestralSampler,
    CalibratedSampler,
    DpmSolverSampler,
    EulerMaruyamaSampler,
    HeunSampler,
    KarrasSchedule,
    WarmStartSampler,
    base_samples,
)
from codi_core.testing import TrajectoryFamily, energy_distance
from tests.core.estimators.problems import gaussian_problem, noisy_points, query_of

HOST = load_plugins()
SDE = DpmSolverSampler(eta=1.0)
INTEGRATORS = [
    AncestralSampler(),
    CalibratedSampler(),
    EulerMaruyamaSampler(),
    HeunSampler(),
    DpmSolverSampler(),
    SDE,
]
NAMES = ["ancestral", "calibrated", "euler-maruyama", "heun", "dpm-solver", "dpm-solver-sde"]


def mixture_errors(sampler, steps, start=None, many=False):
    """The energy distance of base samples of trajectories with three modes to exact ones."""
    problem = TrajectoryFamily(agents=1, group=1).problem()
    context, count = problem.context(2), 1_000
    if many:
        schedule = KarrasSchedule(steps, start or 40.0, 0.05, 100.0)
        sampler = attrs.evolve(sampler, schedule=schedule)
        drawn = sample_many(sampler, problem.denoiser(), count, problem.size, context)
    else:
        drawn = base_samples(problem.denoiser(), count, steps, context, sampler, start)
    assert drawn.shape == (2, count, problem.size)
    exact = problem.policies[0].mixture.sample(2_000, torch.Generator().manual_seed(1))
    return float(energy_distance(drawn.flatten(0, 1), exact))


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("sampler", INTEGRATORS, ids=NAMES)
def test_base_samples_of_every_sampler_are_samples_of_the_policies(sampler, many):
    assert abs(mixture_errors(sampler, 40, many=many)) < 0.015


@pytest.mark.parametrize("many", [False, True])
def test_the_solver_needs_half_of_the_calls_or_fewer(many):
    """4 calls are better than 8 ancestral ones, and 6 than 16; from a lower level also 4."""
    ancestral = [mixture_errors(AncestralSampler(), steps, many=many) for steps in (8, 16)]
    solver = [mixture_errors(DpmSolverSampler(), steps, many=many) for steps in (4, 6)]
    assert solver[0] < 0.6 * ancestral[0] and solver[1] < ancestral[1]
    assert mixture_errors(DpmSolverSampler(), 4, 10.0, many) < 0.6 * ancestral[1]
    assert mixture_errors(CalibratedSampler(), 8, many=many) < 0.6 * ancestral[0]


def test_base_samples_start_where_they_are_told():
    problem, seen = gaussian_problem(), []

    def watched(noisy, sigma):
        seen.append((float(sigma), noisy.shape))
        return problem.denoiser()(noisy, sigma)

    base_samples(watched, 5, 3, problem.context(2), start=5.0)
    assert seen == [(pytest.approx(level), (2, 5, 6)) for level in (5.0, 0.5, 0.05)]
    for start in (0.01, 50.0):
        with pytest.raises(SpecificationError, match=rf"start at noise level {start:g}: the plan"):
            base_samples(watched, 5, 3, problem.context(2), start=start)


def test_parts_hand_their_sampler_and_start_on():
    """Three ancestral calls from 40 tell nothing of the modes; three of the solver from 10 do."""
    problem = TrajectoryFamily(agents=1, group=1).problem()
    context, seen = problem.context(1), []

    def watched(noisy, sigma):
        seen.append(float(sigma))
        return problem.denoiser()(noisy, sigma)

    def evaluate(samples):
        seen.append(samples)
        return problem.cost(samples)

    options = {"sampler": DpmSolverSampler(), "steps": 3, "start": 10.0}
    expected = base_samples(problem.denoiser(), 16, 3, problem.context(1), DpmSolverSampler(), 10.0)
    LibraryGuidance(16, **options).guide(watched, evaluate, context)
    assert seen[:3] == pytest.approx([10.0, 0.5**0.5, 0.05]) and torch.equal(seen[3], expected)
    query = attrs.evolve(
        query_of(problem, torch.zeros(1, problem.size), 1.0, context=problem.context(1)),
        denoiser=watched,
    )
    DataCovariancePosterior(estimate_from=16, **options).draw(query, 4)
    assert seen[4:] == pytest.approx([10.0, 0.5**0.5, 0.05])


@pytest.mark.parametrize("sampler", [CalibratedSampler(), SDE], ids=["calibrated", "sde"])
def test_the_denoised_posterior_is_nearer_to_the_exact_one(sampler):
    """The variance of draws in 4 steps, against the closed form and against ancestral steps."""
    problem, sigma = gaussian_problem(), 2.0
    noisy = noisy_points(problem, 1, sigma)
    exact = problem.oracle.base.posterior(noisy.double(), sigma).covariance()[0].trace()

    def spread(steps_of):
        query = query_of(problem, noisy, sigma)
        samples = DenoisedPosterior(4, steps_of).draw(query, 20_000).samples[0].double()
        assert torch.allclose(samples.mean(0), query.denoised[0].double(), atol=0.05)
        return float(samples.T.cov().trace() / exact)

    assert spread(AncestralSampler()) < 0.6
    assert abs(spread(sampler) - 1) < 0.6 * abs(spread(AncestralSampler()) - 1)


def test_the_denoised_posterior_knows_its_first_step():
    """All samples start in one point: it is denoised once, by whoever asks."""
    problem, calls = gaussian_problem(), []

    def watched(noisy, sigma):
        calls.append(noisy.shape)
        return problem.denoiser()(noisy, sigma)

    query = query_of(problem, torch.zeros(2, 6), torch.tensor([1.0, 3.0]))
    query = PosteriorQuery(query.noisy, query.sigma, query.denoised, watched, query.context)
    DenoisedPosterior(3, SDE).draw(query, 7)
    assert calls == [(2, 7, 6)] * 3


def test_steps_without_noise_are_refused_where_noise_tells_samples_apart():
    problem = gaussian_problem()
    parts = (problem.product, KarrasSchedule(4), problem.predictor, problem.cost)
    for sampler in (DpmSolverSampler(), HeunSampler()):
        with pytest.raises(SpecificationError, match="adds no noise: all samples"):
            DenoisedPosterior(sampler=sampler)
        with pytest.raises(SpecificationError, match="adds no noise: copies of a resampled"):
            Resampling(*parts, sampler=sampler)
    sampler = AncestralSampler(KarrasSchedule(4))
    made = MethodParts(problem.product, problem.predictor, problem.cost, None, sampler, 4, 1.0)
    for registry, name, passed in (
        (HOST.posteriors, "denoised", ()),
        (HOST.methods, "resampling", (made,)),
    ):
        factory = registry.get(name).factory
        with pytest.raises(UsageError, match="unknown sampler that adds noise 'heun'"):
            make_part(factory, name, *passed, options={"sampler": "heun"})
        make_part(factory, name, *passed, options={"sampler": "dpm-solver-sde"})


@pytest.mark.parametrize("sampler", [CalibratedSampler(), SDE], ids=["calibrated", "sde"])
def test_particles_converge_to_pi_with_other_steps(sampler):
    """In 10 steps, where ancestral ones lose variance."""
    problem = gaussian_problem(temperature=1.0)

    def error(steps_of):
        schedule = KarrasSchedule(10, 40.0, 0.02, 5.0)
        parts = (problem.product, schedule, problem.predictor, problem.cost)
        planner = Resampling(*parts, 64, problem.temperature, sampler=steps_of)
        flat, exact = planner.plan(problem.context(1_000)).flat.double(), problem.oracle
        mean = float((flat.mean(0) - exact.mean()).norm())
        return mean, float((flat.T.cov() - exact.covariance()).norm())

    (mean, covariance), ancestral = error(sampler), error(AncestralSampler())
    assert mean < 0.12 < ancestral[0] and covariance < 0.75 * ancestral[1]


def test_a_particle_looks_back_to_its_own_forebear():
    """With one world's particles all of one parent, every history is that parent's."""
    problem, seen = gaussian_problem(), []

    @attrs.frozen
    class Watching(AncestralSampler):
        def step(self, now, before, after, noise):
            seen.append((now, before))
            return super().step(now, before, after, noise)

    def jealous(trajectory):
        cost = torch.ones(trajectory.shape[:2])
        cost[:, 2] = 0.0
        return cost

    planner = Resampling(
        problem.product, KarrasSchedule(3), problem.predictor, jealous, 4, 1e-3, sampler=Watching()
    )
    planner.plan(problem.context(1))
    (first, nothing), (second, before) = seen
    assert nothing is None
    for visit in (first, second, before):
        assert torch.equal(visit.noisy, visit.noisy[:, :1].expand(-1, 4, -1))
        assert torch.equal(visit.denoised, visit.denoised[:, :1].expand(-1, 4, -1))
    assert torch.equal(before.noisy, first.noisy)


@pytest.mark.parametrize("first", INTEGRATORS, ids=NAMES)
def test_a_replan_takes_the_steps_of_the_first_sampler(first):
    """Cold worlds' levels differ from warm ones': each world gets what it gets alone."""
    problem = TrajectoryFamily(tolerance=0.3).problem()
    sampler = WarmStartSampler(attrs.evolve(first, schedule=KarrasSchedule(16)), cold=0.5)
    context = attrs.evolve(problem.context(6), previous=torch.zeros(6, problem.size))
    calls = []

    def watched(noisy, sigma):
        calls.append(sigma)
        return problem.denoiser()(noisy, sigma)

    flat = sampler.sample(watched, problem.size, context)
    assert 0 < context.diagnostics.counts["cold_replans"] < 6
    assert len(calls) == (15 if isinstance(first, HeunSampler) else 8)
    for world in range(6):
        alone = problem.context_of([(0, world, 0)])
        alone = attrs.evolve(alone, previous=torch.zeros(1, problem.size))
        again = sampler.sample(problem.denoiser(), problem.size, alone)[0]
        assert torch.allclose(again, flat[world], atol=1e-5)
