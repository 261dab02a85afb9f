"""Costs that declare their locality, and how guidance gets their terms."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import codi_core
from codi_core.composition import make_evaluate
from codi_core.costs import (
    CostFunction,
    CostTerm,
    CostTerms,
    LocalCost,
    WeightedCost,
    local_terms,
    require_locality,
)
from codi_core.errors import CostError, LocalityError
from codi_core.predictors import Prediction, Predictor
from codi_core.testing import (
    LocalQuadraticCost,
    PassThroughPredictor,
    Problem,
    chain,
    check_cost_function,
    graph_cost,
    grid,
    linear_cost,
    single_gaussian,
)


def terms_of(members, values, world=None, worlds=1):
    """Terms with one sample each."""
    width = max(len(row) for row in members)
    padded = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in members])
    world = torch.tensor(world) if world else torch.zeros(len(members), dtype=torch.int64)
    return CostTerms(torch.tensor(values).double().unsqueeze(-1), world, padded, worlds)


def reached(members, agent, hops):
    """The agents within some hops, by breadth first."""
    found = {agent}
    for _ in range(hops):
        found |= {other for row in members if found & set(row) for other in row}
    return found


def near(members, agent, hops):
    """The terms within some hops of an agent."""
    return [t for t, row in enumerate(members) if reached(members, agent, hops) & set(row)]


@st.composite
def graphs(draw, agents=6, connected=False):
    """Terms that involve one to three of some agents."""
    count = draw(st.integers(1, agents))
    agent = st.integers(0, count - 1)
    rows = draw(st.lists(st.lists(agent, min_size=1, max_size=3), max_size=8))
    tree = [[draw(st.integers(0, number - 1)), number] for number in range(1, count)]
    return count, [*rows, *(tree if connected else []), [0]]


@given(graph=graphs(), hops=st.integers(0, 4))
def test_the_cost_within_some_hops_is_that_of_breadth_first_search(graph, hops):
    agents, members = graph
    values = [2.0**number for number in range(len(members))]
    found = terms_of(members, values).within(agents, hops)
    expected = [sum(values[t] for t in near(members, agent, hops)) for agent in range(agents)]
    assert found[0, :, 0].tolist() == expected


@given(graph=graphs(), hops=st.integers(0, 2), seed=st.integers(0, 99))
def test_a_group_has_the_terms_near_any_of_its_agents(graph, hops, seed):
    agents, members = graph
    groups = torch.randint(2, (agents,), generator=torch.Generator().manual_seed(seed))
    groups[0] = 1
    values = [2.0**number for number in range(len(members))]
    found = terms_of(members, values).within(agents, hops, groups.tolist())
    for group in range(2):
        own = [agent for agent in range(agents) if groups[agent] == group]
        union = {t for agent in own for t in near(members, agent, hops)}
        assert found[0, group].item() == sum(values[t] for t in union)


def test_worlds_have_graphs_of_their_own():
    terms = terms_of([(0, 1), (1, 2), (0,), (2,)], [1, 10, 100, 1000], [0, 0, 1, 1], 3)
    assert terms.total()[:, 0].tolist() == [11, 1100, 0]
    assert terms.involving(3)[..., 0].tolist() == [[1, 11, 10], [100, 0, 1000], [0, 0, 0]]
    assert terms.within(3, 1)[..., 0].tolist() == [[11, 11, 11], [100, 0, 1000], [0, 0, 0]]


@pytest.mark.parametrize(("bad", "check"), [(math.nan, torch.isnan), (math.inf, torch.isposinf)])
@pytest.mark.parametrize(("hops", "touched"), [(0, [0, 1]), (1, [0, 1, 2]), (9, [0, 1, 2, 3])])
def test_a_bad_term_concerns_those_near_it_alone(bad, check, hops, touched):
    terms = terms_of([(0, 1), (1, 2), (2, 3), (4,)], [bad, 1, 1, 1])
    found = check(terms.within(5, hops)[0, :, 0])
    assert found.nonzero().flatten().tolist() == touched


def test_terms_that_involve_one_agent_twice_count_once():
    assert terms_of([(1, 1), (0, 1)], [5.0, 2.0]).involving(2)[0, :, 0].tolist() == [2.0, 7.0]


def test_no_term_at_all_adds_nothing():
    like = torch.ones(2, 3, 5)
    nothing = CostTerms.nothing(like)
    assert torch.equal(nothing.total(), torch.zeros(2, 5))
    assert torch.equal(nothing.involving(3), torch.zeros(2, 3, 5))
    joined = CostTerms.joined([nothing, CostTerms.of_agents(like)])
    assert torch.equal(joined.total(), torch.full((2, 5), 3.0))


def test_joined_terms_keep_values_and_members():
    pairs, triples = terms_of([(0, 1)], [1.0]), terms_of([(2, 1, 0)], [10.0])
    both = CostTerms.joined([pairs.scaled(3.0), triples])
    assert both.members.tolist() == [[0, 1, 1], [2, 1, 0]]
    assert both.involving(3)[0, :, 0].tolist() == [13.0, 13.0, 10.0]
    with pytest.raises(CostError, match="different"):
        CostTerms.joined([pairs, attrs.evolve(triples, worlds=2)])


def quadratic(agents, edges, stiffness=0.5):
    goal = torch.linspace(-1, 1, agents).double()
    return graph_cost(agents, edges, stiffness, goal)


def blocks(agents):
    return tuple(slice(agent, agent + 1) for agent in range(agents))


@pytest.mark.parametrize(("agents", "edges"), [(5, chain(5)), (9, grid(3))])
def test_a_local_cost_is_the_sum_of_its_terms(agents, edges):
    whole = attrs.evolve(quadratic(agents, edges), slope=torch.randn(agents).double(), constant=0.7)
    flat = torch.randn(2, 6, agents)
    cost = LocalQuadraticCost(whole, blocks(agents))
    assert torch.allclose(cost(flat), whole(flat))
    check_cost_function(cost, flat)
    involving = cost.terms(flat).involving(agents)
    # What moves one agent changes the terms that involve it, and these alone.
    moved = flat.clone()
    moved[..., 2] += 0.3
    change = cost(moved) - cost(flat)
    own = cost.terms(moved).involving(agents)[:, 2] - involving[:, 2]
    assert torch.allclose(change, own)


class Bare(CostFunction):
    def __call__(self, trajectory):
        return trajectory.sum(-1)


class Broken(LocalCost):
    def __init__(self, found):
        self.found = found

    def terms(self, trajectory):
        return self.found() if callable(self.found) else self.found


def weighted(**costs):
    return WeightedCost(tuple(CostTerm(name, cost, 2.0) for name, cost in costs.items()))


def test_a_weighted_sum_of_local_costs_is_local():
    pair, own = (
        LocalQuadraticCost(cost, blocks(3))
        for cost in (quadratic(3, chain(3)), linear_cost(torch.ones(3).double()))
    )
    flat = torch.randn(2, 4, 3)
    cost = weighted(pair=pair, inner=weighted(own=own))
    assert torch.allclose(local_terms(cost, flat).total(), cost(flat))
    share = local_terms(cost, flat).involving(3)
    expected = 2 * pair.terms(flat).involving(3) + 4 * own.terms(flat).involving(3)
    assert torch.allclose(share, expected)
    require_locality(cost)


def test_what_lacks_locality_is_named_with_the_remedy():
    local = LocalQuadraticCost(quadratic(2, chain(2)), blocks(2))
    cost = weighted(fine=local, gap=Bare(), inner=weighted(deep=Bare(), fine=local))
    with pytest.raises(LocalityError, match=r"'gap', 'deep'.*monte-carlo.*LocalCost") as caught:
        local_terms(cost, torch.zeros(1, 1, 2))
    assert caught.value.exit_code == 2
    with pytest.raises(LocalityError, match="'Bare'"):
        require_locality(Bare())


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (torch.zeros(2, 3), "'own'.*Tensor"),
        (lambda: 1 / 0, "'own' raised ZeroDivisionError"),
        (CostTerms(torch.zeros(3), torch.zeros(3), torch.zeros(3, 1), 1), r"\(T, M\)"),
        (CostTerms(torch.zeros(3, 2), torch.zeros(2), torch.zeros(3, 1), 1), r"\(2,\)"),
    ],
)
def test_broken_terms_are_named(found, message):
    with pytest.raises(CostError, match=message):
        local_terms(weighted(own=Broken(found)), None)


def test_plugin_authors_find_the_interface():
    assert codi_core.LocalCost is LocalCost and codi_core.CostTerms is CostTerms


# Through an evaluation.


@attrs.frozen
class Failing(Predictor):
    """Passes chunks through, and calls those that begin above zero failed."""

    def predict(self, state, chunks):
        flat = PassThroughPredictor().predict(state, chunks).trajectory
        return Prediction(flat, flat[..., 0] <= 0)


@attrs.frozen(eq=False)
class Lossy(LocalCost):
    """A chain whose terms have no value where the first agent of a pair is above one."""

    agents: int

    def terms(self, trajectory):
        first, second = trajectory[..., :-1], trajectory[..., 1:]
        values = torch.where(first > 1, math.nan, (first - second).square())
        worlds, _, pairs = values.shape
        world = torch.arange(worlds).repeat_interleave(pairs)
        members = torch.tensor(chain(self.agents)).repeat(worlds, 1)
        return CostTerms(values.mT.flatten(0, 1), world, members, worlds)


def team(agents=4):
    policy = single_gaussian(torch.zeros(1).double(), torch.eye(1).double())
    return Problem((policy,) * agents, linear_cost(torch.zeros(agents).double()))


def evaluation(cost, predictor=None, worlds=2):
    problem = team()
    context = problem.context(worlds)
    predictor = predictor or PassThroughPredictor()
    return make_evaluate(problem.product, predictor, cost, context), context


@pytest.mark.parametrize("predictor", [PassThroughPredictor(), Failing()])
def test_terms_and_costs_agree_and_are_counted_alike(predictor):
    flat = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0)).double()
    counts = []
    for kind in ("cost", "terms"):
        evaluate, context = evaluation(Lossy(4), predictor)
        values = evaluate(flat) if kind == "cost" else evaluate.terms(flat).total()
        counts.append(context.diagnostics.counts)
        assert set(context.diagnostics.seconds) == {"predict", "cost"}
        if kind == "cost":
            expected = values
    assert torch.allclose(values, expected, equal_nan=True)
    assert counts[0] == counts[1]
    assert counts[0]["rollouts"] == 100 and counts[0]["nan_costs"] > 0


def test_a_failed_prediction_concerns_agents_without_terms_too():
    class Nothing(LocalCost):
        def terms(self, trajectory):
            return CostTerms.of_agents(trajectory.new_zeros(len(trajectory), 0, 2))

    evaluate, _ = evaluation(Nothing(), Failing(), 1)
    flat = torch.tensor([[[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]])
    assert evaluate.terms(flat).involving(4)[0].tolist() == [[math.inf, 0.0]] * 4


def test_a_sample_is_predicted_once():
    class Counting(PassThroughPredictor):
        calls = 0

        def predict(self, state, chunks):
            type(self).calls += 1
            return super().predict(state, chunks)

    evaluate, _ = evaluation(Lossy(4), Counting())
    evaluate.terms(torch.zeros(2, 3, 4))
    assert Counting.calls == 1


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (CostTerms(torch.zeros(1, 3), torch.tensor([0]), torch.tensor([[4]]), 2), "from 0 to 3"),
        (CostTerms(torch.zeros(1, 3), torch.tensor([2]), torch.tensor([[0]]), 2), "from 0 to 1"),
        (CostTerms(torch.zeros(1, 3), torch.tensor([0]), torch.tensor([[-1]]), 2), "from -1"),
        (CostTerms(torch.zeros(1, 9), torch.tensor([0]), torch.tensor([[0]]), 2), r"\(2, 9\)"),
    ],
)
def test_terms_that_do_not_fit_the_plan_are_refused(terms, message):
    evaluate, _ = evaluation(Broken(terms))
    with pytest.raises(CostError, match=message):
        evaluate.terms(torch.zeros(2, 3, 4))
