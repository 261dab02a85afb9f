"""Selection agent by agent, against distributions that are known exactly."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_core.composition import selection
from codi_core.composition.selection import (
    Candidates,
    Combinations,
    draw_row,
    judged,
    locally_judged,
    select,
    take_turns,
)
from codi_core.costs import LocalCost
from codi_core.planning import ChunkLayout
from codi_core.testing import (
    LocalQuadraticCost,
    MixturePolicy,
    Problem,
    action_spec,
    chain,
    energy_distance,
    graph_cost,
)
from tests.core.estimators.problems import mixture_problem
from tests.strategies import random_mixture


class Evaluation:
    """J of flat joint chunks, and its terms where it has some; counts what it is asked for."""

    def __init__(self, cost):
        self.cost = cost
        self.rollouts = 0

    def __call__(self, flat):
        self.rollouts += flat.shape[1]
        return self.cost(flat)

    def terms(self, flat):
        self.rollouts += flat.shape[1]
        return self.cost.terms(flat)

    def recombination(self, flat):
        return None


def selected(problem, cost, rows, sweeps, temperature=None, evaluate=None):
    """What is drawn out of rows (B, C, D), and who judged."""
    temperature = temperature or problem.temperature
    candidates, context = Candidates(rows, problem.product.layout), problem.context(len(rows))
    judging = locally_judged if isinstance(cost, LocalCost) else judged
    value, judge = judging(candidates, evaluate or Evaluation(cost))
    first = draw_row(value, temperature, context).expand(-1, candidates.factors)
    return select(candidates, first, judge, temperature, sweeps, context), judge


def chain_problem(agents=3, stiffness=2.0, temperature=0.5):
    """Agents with one value each, two modes, that want to be near their neighbours on a line."""
    generator, action = torch.Generator().manual_seed(5), action_spec(1, 1)
    policies = tuple(MixturePolicy(random_mixture(1, 2, generator), action) for _ in range(agents))
    goal = torch.linspace(-1, 1, agents).double()
    return Problem(policies, graph_cost(agents, chain(agents), stiffness, goal), temperature)


def local_cost(problem):
    return LocalQuadraticCost(problem.cost, problem.product.blocks)


def frequencies(choices, count):
    """How often each combination (B, F) of candidates was chosen, (count^F,)."""
    factors = choices.shape[-1]
    powers = count ** torch.arange(factors - 1, -1, -1)
    found = (choices * powers).sum(-1)
    return torch.bincount(found, minlength=count**factors).double() / len(choices)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("sweeps", [1, 6])
def test_a_combination_is_drawn_with_its_weight(local, sweeps):
    """All 27 combinations of three factors' candidates, from any row, in 8 000 worlds.

    After enough sweeps; one is not enough for factors that depend on each other.
    """
    problem, worlds, count = chain_problem(), 8_000, 3
    rows = problem.oracle.base.sample(count, torch.Generator().manual_seed(2))
    cost = local_cost(problem) if local else problem.cost
    candidates = rows.expand(worlds, -1, -1)
    flat, _ = selected(problem, cost, candidates, sweeps)
    choices = (flat.unsqueeze(1) == candidates).int().argmax(1)
    combinations = list(itertools.product(range(count), repeat=3))
    every = torch.stack([rows[list(c), range(3)] for c in combinations])
    exact = torch.softmax(-problem.cost(every) / problem.temperature, 0)
    apart = 0.5 * (frequencies(choices, count) - exact).abs().sum()
    assert apart < 0.03 if sweeps > 1 else apart > 0.03


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("sweeps", [0, 1, 3])
def test_selection_leaves_pi_as_it_is(local, sweeps):
    """One row from π and two from the base policies: too few to approach π otherwise."""
    problem, worlds = chain_problem(), 3_000
    generator = torch.Generator().manual_seed(3)
    fresh = problem.oracle.base.sample(2 * worlds, generator).reshape(worlds, 2, -1)
    previous = problem.oracle.sample(worlds, generator)
    reference = problem.oracle.sample(worlds, generator)
    cost = local_cost(problem) if local else problem.cost
    flat, _ = selected(problem, cost, torch.cat((fresh, previous.unsqueeze(1)), 1), sweeps)
    assert (flat != previous).any(-1).float().mean() > 0.1
    assert energy_distance(flat, reference) < 0.003 < 0.05 < energy_distance(fresh[:, 0], reference)
    value = problem.cost(flat)
    assert abs(value.mean() - problem.oracle.expected_cost()) < 3 * value.std() / worlds**0.5


def test_selection_leaves_pi_of_several_modes_and_values_as_it_is():
    problem, worlds = mixture_problem(temperature=1.0), 4_000
    generator = torch.Generator().manual_seed(4)
    fresh = problem.oracle.base.sample(3 * worlds, generator).reshape(worlds, 3, -1)
    previous = problem.oracle.sample(worlds, generator)
    flat, _ = selected(problem, problem.cost, torch.cat((fresh, previous.unsqueeze(1)), 1), 2)
    reference = problem.oracle.sample(worlds, generator)
    assert energy_distance(flat, reference) < 0.004 < 0.5 < energy_distance(fresh[:, 0], reference)


def test_selection_tends_to_pi_with_more_candidates():
    """From the base policies' samples alone: the distance to π, and E[J], beside joint samples."""
    problem, worlds = chain_problem(4), 1_500
    generator, cost = torch.Generator().manual_seed(6), local_cost(problem)
    reference, wanted = problem.oracle.sample(worlds, generator), problem.oracle.expected_cost()
    distances, misses = {}, {}
    for count in (2, 8, 32):
        rows = problem.oracle.base.sample(count * worlds, generator).reshape(worlds, count, -1)
        for sweeps in (0, 2):
            flat, _ = selected(problem, cost, rows, sweeps)
            distances[count, sweeps] = energy_distance(flat, reference)
            misses[count, sweeps] = problem.cost(flat).mean() - wanted
    assert distances[2, 2] > 3 * distances[8, 2] > 6 * distances[32, 2]
    assert distances[32, 2] < 0.01
    assert misses[2, 2] > 3 * misses[8, 2] > 0
    assert misses[32, 2].abs() < 0.05 * wanted
    # Eight candidates an agent do better than eight joint samples.
    assert misses[8, 2] < 0.5 * misses[8, 0]


def test_factors_that_share_no_term_move_at_once():
    problem = chain_problem(6)
    rows = problem.oracle.base.sample(5, torch.Generator().manual_seed(2)).unsqueeze(0)
    asked = {}
    for cost in (problem.cost, local_cost(problem)):
        evaluate = Evaluation(cost)
        local = isinstance(cost, LocalCost)
        _, judge = selected(problem, cost, rows, 1, evaluate=evaluate)
        asked[local] = evaluate.rollouts
        assert judge.coupling().tolist() == pytest.approx([10 / 6 if local else 5])
    assert asked[False] == 5 * (1 + 6)
    assert asked[True] in (5 * (1 + 2), 5 * (1 + 3))


def test_factors_whose_turn_would_come_too_late_keep_their_candidates(monkeypatch):
    monkeypatch.setattr(selection, "MOST_TURNS", 1)
    problem, worlds = chain_problem(6), 50
    cost, rows = local_cost(problem), torch.arange(4.0).reshape(4, 1).expand(worlds, 4, 6)
    evaluate = Evaluation(cost)
    flat, _ = selected(problem, cost, rows, 1, evaluate=evaluate)
    assert evaluate.rollouts == 4 * (1 + 1)
    # Neighbours on the line never move both: of any two, one is at the row that was drawn first.
    drawn = flat.mode(-1, keepdim=True).values
    moved = flat != drawn
    assert moved.any()
    assert not (moved[:, 1:] & moved[:, :-1]).any()


def test_a_chunk_that_costs_as_much_as_others_is_kept_as_seldom_as_they():
    """Agents whose previous plan won all ties would never begin to move."""
    problem, worlds = chain_problem(), 4_000
    rows = torch.arange(4.0).reshape(4, 1).expand(worlds, 4, 3)
    flat, _ = selected(problem, lambda flat: torch.zeros(flat.shape[:2]), rows, 1)
    shares = torch.stack([(flat == number).float().mean(0) for number in range(4)])
    assert torch.allclose(shares, torch.full((4, 3), 0.25), atol=0.03)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_without_a_finite_cost_the_previous_plan_stays(bad):
    problem = chain_problem()
    rows = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))

    def cost(flat):
        value = torch.full(flat.shape[:2], bad)
        value[1] = flat[1].sum(-1)
        return value

    flat, _ = selected(problem, cost, rows, 1, temperature=1e-6)
    assert torch.equal(flat[0], rows[0, -1])
    assert torch.equal(flat[1], rows[1].amin(0))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**31))
def test_neighbours_take_turns(factors, density, seed):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.rand(3, factors, factors, generator=generator) < density
    neighbours = edges | edges.mT | torch.eye(factors, dtype=torch.bool)
    order = torch.rand(3, factors, generator=generator).argsort(-1)
    turns = take_turns(neighbours, order)
    same = turns.unsqueeze(-1) == turns.unsqueeze(-2)
    assert not (same & neighbours & ~torch.eye(factors, dtype=torch.bool)).any()
    assert (turns < neighbours.sum(-1)).all()
    assert (turns.amin(-1) == 0).all()


@given(
    widths=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    worlds=st.integers(1, 3),
    alike=st.booleans(),
    seed=st.integers(0, 99),
)
def test_combinations_of_two_chunks_cost_what_each_does_alone(widths, worlds, alike, seed):
    """Also where a factor's two chunks are the same."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(worlds, 2, sum(widths), generator=generator)
    if alike:
        rows[:, 1, : widths[0]] = rows[:, 0, : widths[0]]
    ends = list(itertools.accumulate(widths))
    blocks = tuple(slice(end - n, end) for n, end in zip(widths, ends, strict=True))
    agents = tuple((factor,) for factor in range(len(widths)))
    layout = ChunkLayout(agents, blocks, tuple(widths), 1)
    asked = []

    def evaluate(flat):
        asked.append(flat.shape[1])
        return (flat * torch.arange(1.0, flat.shape[-1] + 1)).sum(-1).sin()

    both = Candidates(rows, layout)
    combinations = Combinations.of(both, evaluate)
    picked = torch.randint(2, (5, worlds, len(widths)), generator=generator)
    flat = torch.stack([both.chosen(numbers) for numbers in picked], 1)
    torch.testing.assert_close(combinations(flat), evaluate(flat))
    assert asked == [2 ** len(widths), 5]
