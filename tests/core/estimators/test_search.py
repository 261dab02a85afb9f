"""The method that selects agent by agent and then guides."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from codi_core.composition import BestOf, Search
from codi_core.composition.search import Spending
from codi_core.costs import CostFunction
from codi_core.errors import SpecificationError
from codi_core.guidance import Guidance, MonteCarloGuidance, NoGuidance
from codi_core.posteriors import IsotropicPosterior
from codi_core.samplers import DpmSolverSampler, KarrasSchedule
from codi_core.testing import (
    LocalQuadraticCost,
    MixturePolicy,
    Problem,
    TrajectoryFamily,
    action_spec,
    energy_distance,
    graph_cost,
    quadratic_cost,
)
from tests.core.estimators.problems import gaussian_problem, mixture_problem
from tests.strategies import random_mixture

SCHEDULE = KarrasSchedule(16, 40.0, 0.02, 5.0)


def search(problem, cost=None, samples=16, **options):
    guidance = options.pop("guidance", None)
    return Search(
        problem.product,
        options.pop("schedule", SCHEDULE),
        problem.predictor,
        cost or problem.cost,
        guidance or MonteCarloGuidance(IsotropicPosterior(), samples, problem.temperature),
        samples,
        problem.temperature,
        **options,
    )


def with_previous(problem, previous, seed=0):
    return attrs.evolve(problem.context(len(previous), seed), previous=previous)


def test_selection_alone_leaves_pi_as_it_is():
    """The candidates are samples of the base policies in many steps, not of an oracle."""
    problem, worlds = mixture_problem(temperature=1.0), 1_500
    generator = torch.Generator().manual_seed(1)
    previous = problem.oracle.sample(worlds, generator).float()
    planner = search(problem, candidates=3, steps=0, sweeps=2, calls=24, start=40.0)
    flat = planner.plan(with_previous(problem, previous)).flat
    reference = problem.oracle.sample(worlds, generator)
    assert (flat != previous).any(-1).float().mean() > 0.2
    assert energy_distance(flat, reference) < 0.01


def test_selection_alone_does_better_than_the_best_joint_sample_of_many_agents():
    problem = TrajectoryFamily(agents=8).problem()
    parts = (
        problem.product,
        DpmSolverSampler(KarrasSchedule(4, 10.0, 0.02)),
        problem.predictor,
        problem.cost,
    )
    joint = BestOf(*parts, 64 * 9).plan(problem.context(6))
    selected = search(problem, candidates=63, steps=0).plan(problem.context(6))
    assert selected.diagnostics.counts["rollouts"] == joint.diagnostics.counts["rollouts"]
    assert problem.cost(selected.flat).mean() < 0.3 * problem.cost(joint.flat).mean()


class Towards(Guidance):
    """Guides to the chunk that is 2 everywhere, whatever the cost says."""

    def guide(self, denoiser, evaluate, context):
        return lambda noisy, sigma: torch.full_like(noisy, 2.0)


@pytest.mark.parametrize("local", [False, True])
def test_each_agent_chooses_between_its_guided_and_its_selected_chunk(local):
    """The first agent wants the guided chunk, the second one its share of the previous plan."""
    problem = gaussian_problem(temperature=1e-3)
    wanted = torch.tensor([2.0] * 3 + [-1.0] * 3).double()
    whole = quadratic_cost(torch.eye(6).double(), wanted)
    cost = LocalQuadraticCost(whole, problem.product.blocks) if local else whole
    context = with_previous(problem, torch.tensor([[0.0] * 3 + [-1.0] * 3]).repeat(4, 1))
    plan = search(problem, cost, guidance=Towards()).plan(context)
    assert torch.equal(plan.flat.double(), wanted.expand(4, 6))
    assert plan.diagnostics.series["guided_share"][0].tolist() == [0.5] * 4


@pytest.mark.parametrize(("price", "kept"), [(0.1, 2.0), (1.0, -1.0)])
def test_what_was_selected_stays_where_guidance_made_the_whole_dearer(price, kept):
    """No agent can go back alone. The candidates' costs have a standard deviation of 2."""
    problem = gaussian_problem(temperature=1e-3)

    class Together(CostFunction):
        def __call__(self, trajectory):
            before, guided = ((trajectory == value).all(-1) for value in (-1.0, 2.0))
            return torch.where(before, 0.0, torch.where(guided, price, 10.0))

    context = with_previous(problem, torch.full((3, 6), -1.0))
    plan = search(problem, Together(), guidance=Towards()).plan(context)
    assert torch.equal(plan.flat, torch.full((3, 6), kept))


def test_guidance_makes_cheaper_what_was_selected():
    problem = TrajectoryFamily(agents=4).problem()
    costs = [
        problem.cost(
            search(problem, candidates=8, samples=32, steps=steps).plan(problem.context(24)).flat
        ).mean()
        for steps in (0, 6)
    ]
    assert costs[1] < 0.8 * costs[0]


def test_the_previous_plan_is_a_candidate():
    """Where everything else is forbidden, it stays, shifted by what was executed of it."""
    problem = gaussian_problem()
    previous = torch.arange(12.0).reshape(2, 6)
    shifted = torch.tensor([[1.0, 2, 2, 4, 5, 5], [7.0, 8, 8, 10, 11, 11]])

    class Only(CostFunction):
        def __call__(self, trajectory):
            same = (trajectory == shifted.unsqueeze(1)).all(-1)
            return torch.where(same, 0.0, torch.inf)

    context = attrs.evolve(with_previous(problem, previous), committed=1)
    assert torch.equal(search(problem, Only(), steps=3).plan(context).flat, shifted)


def test_a_previous_plan_that_is_not_finite_is_none():
    problem = gaussian_problem()
    previous = torch.full((2, 6), torch.nan)
    planner = search(problem)
    flat = planner.plan(with_previous(problem, previous)).flat
    assert torch.equal(flat, planner.plan(problem.context(2)).flat)


def test_guidance_begins_at_more_noise_where_more_agents_bear_on_each_other():
    seen = {}

    class Watched(NoGuidance):
        def guide(self, denoiser, evaluate, context):
            def watched(noisy, sigma):
                levels.append(sigma)
                return denoiser(noisy, sigma)

            return watched

    generator, action = torch.Generator().manual_seed(5), action_spec(1, 1)
    policies = tuple(MixturePolicy(random_mixture(1, 2, generator), action) for _ in range(12))
    goal = torch.zeros(12).double()
    pairs = {
        "nobody": [],
        "couples": [(agent, agent + 1) for agent in range(0, 12, 2)],
        "ring": [(agent, (agent + 1) % 12) for agent in range(12)],
        "everybody": [(one, other) for one in range(12) for other in range(one)],
    }
    for name, edges in pairs.items():
        levels = []
        problem = Problem(policies, graph_cost(12, edges, 1.0, goal))
        cost = LocalQuadraticCost(problem.cost, problem.product.blocks)
        search(problem, cost, guidance=Watched(), candidates=2).plan(problem.context(2))
        assert len(levels) == 8
        assert levels[-1].tolist() == pytest.approx([0.02] * 2)
        seen[name] = levels[0].tolist()
    assert seen["nobody"] == seen["couples"] == pytest.approx([2.0] * 2)
    assert seen["ring"] == pytest.approx([8**0.5] * 2)
    assert seen["everybody"] == pytest.approx([5.0] * 2)


@pytest.mark.parametrize(("factors", "steps"), [(1, 4), (2, 4), (3, 6), (4, 7), (5, 8), (128, 8)])
def test_steps_without_a_budget(factors, steps):
    assert Spending.usual(factors, calls=4) == Spending(24, steps)
    assert Spending.usual(factors, calls=2) == Spending(49, steps)


@given(st.integers(1, 5_000), st.integers(1, 64), st.integers(0, 3), st.integers(1, 256))
def test_a_budget_is_spent_half_and_half(rollouts, factors, sweeps, samples):
    turns, compared = 1 + sweeps * factors, 2 * factors + 2
    least = samples + compared + 2 * turns
    if rollouts < least:
        with pytest.raises(SpecificationError, match=f"{rollouts} rollouts .* at least {least}"):
            Spending.of(rollouts, factors, sweeps, samples)
        return
    spending = Spending.of(rollouts, factors, sweeps, samples)
    guided, selected = spending.steps * samples, (spending.candidates + 1) * turns
    assert rollouts - turns < guided + selected + compared <= rollouts
    rest = rollouts - compared
    half = min(rest // 2, rest - 2 * turns)
    assume(half >= samples)
    assert half - samples < guided <= half


@pytest.mark.parametrize("rollouts", [100, 203])
def test_a_plan_spends_its_budget(rollouts):
    problem = gaussian_problem()
    planner = search(problem, rollouts=rollouts)
    for previous in (None, torch.zeros(3, 6)):
        context = attrs.evolve(problem.context(3), previous=previous)
        spent = planner.plan(context).diagnostics.counts["rollouts"] / 3
        spared = 2  # two factors compare four chunks, where six are reckoned with
        assert rollouts - 3 < spent + spared <= rollouts


def test_a_budget_excludes_what_it_decides():
    with pytest.raises(SpecificationError, match="both rollouts and candidates and steps"):
        search(gaussian_problem(), rollouts=300, candidates=4, steps=2)


def test_levels_without_room():
    with pytest.raises(SpecificationError, match="lower sigma_min"):
        search(gaussian_problem(), schedule=KarrasSchedule(8, 40.0, 2.5))
