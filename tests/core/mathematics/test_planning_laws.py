"""Laws of whole plans: batches, seeds, shared weights and units."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from hypothesis import given

from codi_core.composition import make_evaluate
from codi_core.guidance import MonteCarloGuidance, NoGuidance
from codi_core.policies import Normaliser
from codi_core.posteriors import IsotropicPosterior
from codi_core.predictors import Prediction, Predictor
from codi_core.samplers import AncestralSampler, EulerMaruyamaSampler, KarrasSchedule
from codi_core.testing import (
    ExactPosterior,
    MixturePolicy,
    Oracle,
    PassThroughPredictor,
    Problem,
    QuadraticCost,
    TrajectoryFamily,
    action_spec,
    agent_view,
    conditioned_product,
    coupling_cost,
)
from tests.strategies import problems, random_mixture, random_quadratic, seeds

SCHEDULE = KarrasSchedule(16, 40.0, 0.05, 5.0)
KEYS = [(7, episode, replan) for episode in range(3) for replan in range(2)]


def coordinated(problem, posterior=None, sampler=None, samples=64):
    guidance = MonteCarloGuidance(posterior or IsotropicPosterior(), samples, problem.temperature)
    return problem.coordinated(guidance, sampler or AncestralSampler(SCHEDULE))


@pytest.mark.parametrize("sampler", [AncestralSampler(SCHEDULE), EulerMaruyamaSampler(SCHEDULE)])
@pytest.mark.parametrize("exact", [False, True])
def test_a_world_planned_alone_or_in_a_batch_agrees(sampler, exact):
    """To 1e-5, on a sharp trajectory problem with many modes."""
    problem = TrajectoryFamily().problem()
    posterior = ExactPosterior(problem.product) if exact else IsotropicPosterior()
    planner = coordinated(problem, posterior, sampler)
    together = planner.plan(problem.context_of(KEYS)).flat
    for row, key in zip(together, KEYS, strict=True):
        alone = planner.plan(problem.context_of([key])).flat[0]
        assert torch.allclose(row, alone, atol=1e-5)
    backwards = planner.plan(problem.context_of(KEYS[::-1])).flat
    assert torch.allclose(backwards.flip(0), together, atol=1e-5)


@given(problem=problems(), seed=seeds())
def test_one_seed_one_result(problem, seed):
    planner = coordinated(problem, samples=8)
    one = planner.plan(problem.context(3, seed))
    two = planner.plan(problem.context(3, seed))
    assert torch.equal(one.flat, two.flat)
    assert not torch.equal(one.flat, planner.plan(problem.context(3, seed + 1)).flat)
    assert not torch.equal(one.flat, planner.plan(problem.context(3, seed, replan=1)).flat)


@given(problem=problems(shared=True), seed=seeds())
def test_agents_that_share_weights_plan_as_agents_with_copies(problem, seed):
    copies = tuple(MixturePolicy(policy.mixture, policy.spec.action) for policy in problem.policies)
    other = Problem(copies, problem.cost, problem.temperature)
    one = coordinated(problem, samples=8).plan(problem.context(2, seed)).flat
    two = coordinated(other, samples=8).plan(other.context(2, seed)).flat
    assert torch.allclose(one, two, rtol=1e-3, atol=1e-3)


def test_worlds_with_their_own_observations_and_costs():
    """Each world is guided by its own row of the observation and of the cost's target."""
    generator, action = torch.Generator().manual_seed(0), action_spec(1, 2)
    gain = torch.eye(2, dtype=torch.float64)
    policies = tuple(
        MixturePolicy(random_mixture(2, 1, generator), action, gain=gain) for _ in range(2)
    )
    seen = torch.randn(3, 1, 2, 2, generator=generator)
    cost = random_quadratic(4, generator, worlds=3)
    problem = Problem(policies, cost, 3.0, {"observed": seen})
    base = conditioned_product(problem.product, problem.observation)
    oracle = Oracle.of(base, cost, 3.0)
    assert agent_view(1)(problem.observation)["observed"].shape == (3, 1, 2)
    for world in range(3):
        own = attrs.evolve(cost, target=cost.target[world])
        offset = seen[world, 0].flatten().double()
        unmoved = conditioned_product(
            problem.product, {"observed": torch.zeros(1, 1, 2, 2)}
        ).shifted(offset[None])
        alone = Oracle.of(unmoved, own, 3.0)
        assert torch.allclose(oracle.mean()[world], alone.mean()[0])
    planner = coordinated(problem, ExactPosterior(problem.product), samples=512)
    plans = torch.stack([planner.plan(problem.context(3, seed)).flat for seed in range(60)])
    error = (plans.double().mean(0) - oracle.mean()).abs()
    # 60 plans of a spread of at most 0.8 leave a standard error of 0.1.
    assert error.max() < 0.35
    assert (oracle.mean() - base.mean()).abs().max() > 0.5


def in_units(problem, scale, offset):
    """The same problem measured in other physical units: a' = scale · a + offset."""
    policies = []
    for policy in problem.policies:
        ones = torch.ones(policy.spec.action.dimension)
        normaliser = Normaliser(offset * ones, scale * ones)
        policies.append(MixturePolicy(policy.mixture, policy.spec.action, normaliser))
    whole = torch.ones(problem.size, dtype=torch.float64)
    cost = problem.cost.pulled_back(whole / scale, -offset / scale * whole)
    return Problem(tuple(policies), cost, problem.temperature)


@given(problem=problems(), seed=seeds())
def test_units_do_not_change_physical_results(problem, seed):
    """Metres or millimetres: the same plan, sample for sample."""
    other = in_units(problem, 1000.0, 250.0)
    one = coordinated(problem, samples=8).plan(problem.context(2, seed))
    two = coordinated(other, samples=8).plan(other.context(2, seed))
    for metres, millimetres in zip(one.chunks, two.chunks, strict=True):
        assert torch.allclose(metres, (millimetres - 250.0) / 1000.0, rtol=2e-3, atol=2e-3)


def test_the_normaliser_does_not_change_the_physical_distribution():
    """One physical base policy, normalised in two ways: two diffusions, one composition."""
    generator, action = torch.Generator().manual_seed(1), action_spec(1, 1)
    physical = [random_mixture(1, 2, generator) for _ in range(2)]
    cost = coupling_cost(2, torch.eye(1, dtype=torch.float64), stiffness=2.0)
    results = []
    for scale, offset in ((1.0, 0.0), (2.5, -1.0)):
        policies = tuple(
            MixturePolicy(
                mixture.shifted(torch.tensor([-offset]).double()).scaled(1 / scale),
                action,
                Normaliser(torch.tensor([offset]), torch.tensor([scale])),
            )
            for mixture in physical
        )
        problem = Problem(policies, cost, 1.0)
        sampler = AncestralSampler(KarrasSchedule(48, 40.0, 0.01, 7.0))
        planner = coordinated(problem, ExactPosterior(problem.product), sampler, 128)
        chunks = planner.plan(problem.context(1_500)).chunks
        results.append(torch.cat([chunk.flatten(1) for chunk in chunks], -1).double())
    exact = Oracle.of(physical[0].times(physical[1]), cost, 1.0)
    for flat in results:
        assert torch.allclose(flat.mean(0), exact.mean(), atol=0.1)
        assert torch.allclose(flat.T.cov(), exact.covariance(), atol=0.12)


def test_pulled_back_costs_have_the_same_values():
    cost = random_quadratic(3, torch.Generator().manual_seed(2))
    scale, offset = torch.tensor([2.0, 0.5, 3.0]).double(), torch.tensor([1.0, -2, 0]).double()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert torch.allclose(cost.pulled_back(scale, offset)(x), cost(scale * x + offset))


def test_diagnostics_say_what_happened():
    problem = TrajectoryFamily().problem()
    planner = coordinated(problem)
    context = problem.context(3)
    planner.plan(context)
    diagnostics = context.diagnostics
    assert diagnostics.counts["rollouts"] == 3 * 64 * SCHEDULE.steps
    size = torch.stack(diagnostics.series["effective_sample_size"])
    assert size.shape == (SCHEDULE.steps, 3)
    assert size.min() >= 1 - 1e-9 and size.max() <= 64 + 1e-9
    unguided = problem.context(3)
    problem.coordinated(NoGuidance(), AncestralSampler(SCHEDULE)).plan(unguided)
    assert unguided.diagnostics.counts["rollouts"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_cost_without_any_value_falls_back_to_the_product_policy(value):
    """Counted, finite, and not far from a plan without guidance: the same sampler noise."""
    problem = TrajectoryFamily().problem()
    planner = coordinated(problem, samples=4)
    planner.cost = lambda flat: flat.new_full(flat.shape[:-1], value)
    context = problem.context(3)
    plan = planner.plan(context)
    assert torch.isfinite(plan.flat).all()
    assert context.diagnostics.counts["unguided_steps"] == 3 * SCHEDULE.steps
    forgiving = coordinated(problem, samples=4)
    forgiving.cost = QuadraticCost(
        problem.cost.rows * 0, problem.cost.target, problem.cost.slope * 0
    )
    assert torch.allclose(plan.flat, forgiving.plan(problem.context(3)).flat, atol=1e-5)


class Failing(Predictor):
    """Passes chunks through, and calls the predictions with a positive first value failed."""

    def predict(self, state, chunks):
        flat = PassThroughPredictor().predict(state, chunks).trajectory
        return Prediction(flat, flat[..., 0] <= 0)


def test_failed_predictions_are_forbidden_and_counted():
    """They cost +inf, whatever the cost says of them: guidance moves away from them."""
    problem = TrajectoryFamily().problem()
    context = problem.context(2)
    free = QuadraticCost(problem.cost.rows * 0, problem.cost.target, problem.cost.slope * 0)
    evaluate = make_evaluate(problem.product, Failing(), free, context)
    samples = context.noise.normal(500, problem.size)
    cost = evaluate(samples)
    assert torch.equal(cost == math.inf, samples[..., 0] > 0)
    assert (cost[samples[..., 0] <= 0] == 0).all()
    assert context.diagnostics.counts["failed_predictions"] == int((samples[..., 0] > 0).sum())
    assert context.diagnostics.counts["nan_costs"] == 0

    planner = coordinated(problem, ExactPosterior(problem.product), samples=256)
    planner.predictor, planner.cost = Failing(), free
    flat = planner.plan(problem.context(60)).flat
    assert float((flat[:, 0] <= 0).float().mean()) > 0.9


def test_effective_sample_size_is_that_of_the_weights():
    """With equal costs all samples count; with one allowed sample, one does."""
    problem = TrajectoryFamily().problem()
    for allowed, expected in ((8, 8.0), (1, 1.0)):
        planner = coordinated(problem, samples=8)
        planner.cost = lambda flat, allowed=allowed: (
            torch.where(torch.arange(8) < allowed, 0.0, math.inf).expand(flat.shape[:-1]).clone()
        )
        context = problem.context(2)
        planner.plan(context)
        size = torch.stack(context.diagnostics.series["effective_sample_size"])
        assert torch.allclose(size, torch.full_like(size, expected))
