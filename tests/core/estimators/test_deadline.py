"""Plans with a deadline: fewer steps, the best so far, and nothing at all without one."""

from __future__ import annotations

import time

import attrs
import pytest
import torch

from codi_core.composition import BestOf, Resampling, Search
from codi_core.costs import CostFunction
from codi_core.guidance import MonteCarloGuidance
from codi_core.planning import Descent
from codi_core.policies import ProductPolicy
from codi_core.posteriors import DenoisedPosterior, IsotropicPosterior
from codi_core.samplers import (
    AncestralSampler,
    DpmSolverSampler,
    EulerMaruyamaSampler,
    HeunSampler,
    KarrasSchedule,
    WarmStartSampler,
)
from codi_core.testing import TrajectoryFamily
from tests.core.estimators.problems import gaussian_problem

SCHEDULE = KarrasSchedule(16, 10.0, 0.05, 5.0)
SAMPLERS = [
    AncestralSampler(SCHEDULE),
    EulerMaruyamaSampler(SCHEDULE),
    WarmStartSampler(AncestralSampler(SCHEDULE), steps=8),
    DpmSolverSampler(SCHEDULE),
    DpmSolverSampler(SCHEDULE, eta=1.0),
]


class Clock:
    """Stands in for `time.monotonic`: it goes on only while somebody denoises or predicts."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@attrs.define
class Slow:
    """A denoiser that takes its time, and says where it has been."""

    clock: Clock
    seconds: tuple[float, ...] | float = 0.1
    levels: list[float] = attrs.field(factory=list)

    def __call__(self, noisy, sigma):
        index = len(self.levels)
        self.levels.append(float(sigma.max()))
        self.clock.now += self.seconds if isinstance(self.seconds, float) else self.seconds[index]
        return torch.full_like(noisy, 0.7)


def context(seconds=None, worlds=3, problem=None):
    deadline = None if seconds is None else time.monotonic() + seconds
    return attrs.evolve((problem or gaussian_problem()).context(worlds), deadline=deadline)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("seconds", "calls"), [(0.05, 1), (0.25, 2), (0.55, 5), (1.55, 15)])
def test_as_many_steps_are_taken_as_there_is_time_for(clock, sampler, seconds, calls):
    slow, plan = Slow(clock), context(seconds)
    flat = sampler.sample(slow, 6, plan)
    assert torch.allclose(flat, torch.full((3, 6), 0.7), atol=1e-5)
    assert len(slow.levels) == calls
    assert plan.diagnostics.counts["shortened_plans"] == 3
    scheduled = SCHEDULE.levels()[:-1].tolist()
    assert slow.levels == sorted(set(slow.levels), reverse=True)
    assert set(slow.levels) <= set(scheduled) and slow.levels[0] == scheduled[0]


def test_the_steps_that_are_left_out_are_evenly_spread(clock):
    slow = Slow(clock)
    SAMPLERS[0].sample(slow, 6, context(0.51))
    scheduled = SCHEDULE.levels().tolist()
    assert [scheduled.index(level) for level in slow.levels] == [0, 4, 7, 10, 13]


@pytest.mark.parametrize("seconds", [-1.0, 0.05, 0.25, 0.55, 1.55])
def test_heun_is_late_by_one_call_at_most(clock, seconds):
    """How long its steps of two calls take is known from the second one on."""
    slow, plan = Slow(clock), context(seconds)
    flat = HeunSampler(SCHEDULE).sample(slow, 6, plan)
    assert torch.equal(flat, torch.full((3, 6), 0.7))
    assert 0.1 * len(slow.levels) < max(seconds, 0.0) + 0.15
    assert plan.diagnostics.counts["shortened_plans"] == 3


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_plan_with_time_enough_is_the_plan_without_a_deadline(clock, sampler):
    denoiser = gaussian_problem().denoiser()
    free, timed = context(), context(1e3)
    assert torch.equal(sampler.sample(denoiser, 6, free), sampler.sample(denoiser, 6, timed))
    assert not timed.diagnostics.counts and not free.diagnostics.counts


def test_steps_that_become_slower_are_reckoned_with(clock):
    """Four fast steps, then slow ones: 0.4 s have passed, and slow ones fit into the rest."""
    slow = Slow(clock, (*[0.1] * 4, *[0.5] * 12))
    plan = context(1.65)
    SAMPLERS[0].sample(slow, 6, plan)
    assert len(slow.levels) == 6 and clock.now <= 100.0 + 1.65
    assert plan.diagnostics.counts["shortened_plans"] == 3


def test_a_passed_deadline_leaves_the_first_denoised_chunk(clock):
    problem = gaussian_problem()
    noisy = SCHEDULE.levels()[0] * problem.context(3).noise.normal(6)
    expected = problem.denoiser()(noisy, SCHEDULE.levels()[0])
    for sampler in SAMPLERS[:2]:
        assert torch.allclose(sampler.sample(problem.denoiser(), 6, context(-5.0)), expected)


def test_a_warm_replan_is_shortened_from_the_level_where_it_starts(clock):
    problem, slow = gaussian_problem(), Slow(clock)
    plan = attrs.evolve(context(0.35), previous=torch.zeros(3, 6))
    sampler = WarmStartSampler(AncestralSampler(SCHEDULE), sigma_warm=3.0, steps=8, cold=0.0)
    flat = sampler.sample(slow, problem.size, plan)
    assert torch.equal(flat, torch.full((3, 6), 0.7))
    assert len(slow.levels) == 3 and slow.levels[0] == 3.0
    assert plan.diagnostics.counts["shortened_plans"] == 3


class SlowProduct(ProductPolicy):
    """A product policy with a slow denoiser."""

    clock: Clock

    def denoiser(self, observation):
        inner = super().denoiser(observation)

        def denoise(noisy, sigma):
            self.clock.now += 0.1
            return inner(noisy, sigma)

        return denoise


def slow_problem(clock):
    problem = TrajectoryFamily(agents=2).problem()
    product = SlowProduct(problem.product.factors)
    product.clock = clock
    problem.__dict__["product"] = product
    return problem


def test_the_draws_of_a_posterior_are_not_shortened(clock):
    """Only the sampler's own steps are left out: each with four calls of the posterior's."""
    problem = slow_problem(clock)
    guidance = MonteCarloGuidance(DenoisedPosterior(4), 8, problem.temperature)
    planner = problem.coordinated(guidance, AncestralSampler(SCHEDULE))
    plan = planner.plan(context(2.05, problem=problem))
    assert plan.diagnostics.counts["rollouts"] == 4 * 3 * 8
    assert plan.diagnostics.counts["shortened_plans"] == 3
    assert torch.isfinite(plan.flat).all()


class Watched(CostFunction):
    """The cost, and what it was asked for."""

    def __init__(self, inner):
        self.inner, self.seen = inner, []

    def __call__(self, trajectory):
        self.seen.append(trajectory)
        return self.inner(trajectory)


def test_best_of_stops_drawing_and_keeps_the_cheapest_until_then(clock):
    problem = slow_problem(clock)
    cost = Watched(problem.cost)
    planner = BestOf(problem.product, AncestralSampler(SCHEDULE), problem.predictor, cost, 30)
    plan = planner.plan(context(4.5, problem=problem))
    assert [seen.shape[1] for seen in cost.seen] == [8, 8]
    assert plan.diagnostics.counts["rollouts"] == 3 * 16
    assert plan.diagnostics.counts["shortened_plans"] == 3
    drawn = torch.cat(cost.seen, 1)
    cheapest = problem.cost(drawn).argmin(-1)
    assert torch.equal(plan.flat, drawn[torch.arange(3), cheapest])
    unhurried = planner.plan(context(60.0, problem=problem))
    assert unhurried.diagnostics.counts["rollouts"] == 3 * 30
    assert "shortened_plans" not in unhurried.diagnostics.counts
    late = planner.plan(context(-1.0, problem=problem))
    assert late.diagnostics.counts["rollouts"] == 3 * 8
    assert torch.isfinite(late.flat).all()


def test_particles_take_fewer_steps(clock):
    problem = slow_problem(clock)
    planner = Resampling(
        problem.product, SCHEDULE, problem.predictor, problem.cost, 16, problem.temperature
    )
    plan = planner.plan(context(0.65, problem=problem))
    assert plan.diagnostics.counts["rollouts"] == 6 * 3 * 16
    assert plan.diagnostics.counts["shortened_plans"] == 3
    assert torch.isfinite(plan.flat).all()
    free, timed = (planner.plan(context(limit, problem=problem)) for limit in (None, 60.0))
    assert torch.equal(free.flat, timed.flat)


def search(problem):
    guidance = MonteCarloGuidance(IsotropicPosterior(), 16, problem.temperature)
    parts = (problem.product, SCHEDULE, problem.predictor, problem.cost, guidance, 16)
    return Search(*parts, problem.temperature, candidates=7, steps=6)


def test_search_selects_and_guides_as_far_as_there_is_time(clock):
    """Four calls for the candidates, then one a guided step, 0.1 s each."""
    problem = slow_problem(clock)
    planner, selecting = search(problem), 8 * (1 + 2)
    spent = {}
    for seconds in (0.85, 0.45, -1.0):
        plan = planner.plan(context(seconds, problem=problem))
        spent[seconds] = plan.diagnostics.counts["rollouts"] / 3
        assert plan.diagnostics.counts["shortened_plans"] == 3
        assert torch.isfinite(plan.flat).all()
    assert spent[0.85] == selecting + 4 * 16 + 4
    assert spent[0.45] == selecting + 16 + 4
    assert spent[-1.0] == 8 + 16 + 4
    free, timed = (planner.plan(context(limit, problem=problem)) for limit in (None, 60.0))
    assert torch.equal(free.flat, timed.flat)
    assert free.diagnostics.counts["rollouts"] == 3 * (selecting + 6 * 16 + 4)


def test_without_a_deadline_no_time_is_read(monkeypatch):
    def forbidden():
        raise AssertionError("the time was read")

    monkeypatch.setattr(time, "monotonic", forbidden)
    problem = gaussian_problem()
    guidance = MonteCarloGuidance(DenoisedPosterior(2), 4, problem.temperature)
    planners = [problem.coordinated(guidance, sampler) for sampler in SAMPLERS]
    planners.append(BestOf(problem.product, SAMPLERS[0], problem.predictor, problem.cost, 4))
    planners.append(Resampling(problem.product, SCHEDULE, problem.predictor, problem.cost, 4))
    planners.append(search(problem))
    for planner in planners:
        assert torch.isfinite(planner.plan(problem.context(2)).flat).all()


def test_a_descent_visits_all_levels_without_a_deadline():
    levels = SCHEDULE.levels()
    descent = Descent(levels, gaussian_problem().context())
    seen = [(float(sigma), float(descent.after())) for sigma in descent]
    assert seen == list(zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True))
    assert descent.ended
