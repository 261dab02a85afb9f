"""Factored guidance: what it is equal to, how far it is off, and how its variance scales."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codi_baselines.locality.cells import Cell, estimates, measure
from codi_baselines.locality.teams import SIGMA, GaussianTeam
from codi_core.composition import make_evaluate
from codi_core.costs import CostTerms, LocalCost
from codi_core.errors import LocalityError
from codi_core.guidance import FactoredGuidance, MonteCarloGuidance
from codi_core.host.plugins import load_plugins
from codi_core.policies import Factor, ProductPolicy
from codi_core.posteriors import IsotropicPosterior, PosteriorApproximation, PosteriorSamples
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.testing import (
    MixturePolicy,
    PassThroughPredictor,
    Problem,
    TrajectoryFamily,
    action_spec,
    chain,
    grid,
    linear_cost,
    tilt,
)
from codi_core.testing.policies import blind
from tests.strategies import random_mixture, seeds

TEMPERATURE = 0.7


@attrs.frozen(eq=False)
class Coupled(LocalCost):
    """|Σ_j a_j| a term, over the first values of its members: no closed form, and not smooth.

    Attributes:
        members: the agents of each term.
        columns: the agents' first columns.
        bad: is added to the first term of the samples that begin above one.
    """

    members: tuple[tuple[int, ...], ...]
    columns: tuple[int, ...]
    bad: float = 0.0

    def terms(self, trajectory):
        values = torch.stack(
            [
                sum(trajectory[..., self.columns[agent]] for agent in set(row)).abs()
                for row in self.members
            ],
            1,
        )
        values[:, 0] += torch.where(trajectory[..., 0] > 1, self.bad, 0.0)
        worlds, count, _ = values.shape
        width = max(map(len, self.members))
        padded = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in self.members])
        world = torch.arange(worlds).repeat_interleave(count)
        return CostTerms(values.flatten(0, 1), world, padded.repeat(worlds, 1), worlds)


@attrs.frozen
class Given(PosteriorApproximation):
    """Draws that are given."""

    samples: torch.Tensor
    log_weights: torch.Tensor | None = None

    def draw(self, query, count):
        return PosteriorSamples(self.samples, self.log_weights)


def product_of(agents, horizon=2):
    """Agents with mixtures of their own."""
    generator, action = torch.Generator().manual_seed(agents), action_spec(horizon, 1)
    policies = tuple(
        MixturePolicy(random_mixture(horizon, 2, generator), action) for _ in range(agents)
    )
    return Problem(policies, linear_cost(torch.zeros(agents * horizon).double()), TEMPERATURE)


def guided(guidance, members, agents, worlds=3, seed=0, bad=0.0, sigma=1.0):
    """The guided chunk at random points, and the plan's context."""
    problem = product_of(agents)
    context = problem.context(worlds, seed)
    cost = Coupled(tuple(map(tuple, members)), tuple(range(0, 2 * agents, 2)), bad)
    evaluate = make_evaluate(problem.product, PassThroughPredictor(), cost, context)
    noisy = torch.randn(worlds, 2 * agents, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        flat = guidance.guide(problem.denoiser(), evaluate, context)(noisy, torch.tensor(sigma))
    return flat, context


def pair_of_guidances(hops, samples=16, ess=0.0):
    shared = (IsotropicPosterior(), samples, TEMPERATURE)
    return FactoredGuidance(*shared, hops, ess), MonteCarloGuidance(*shared, ess)


@pytest.mark.parametrize("ess", [0.0, 0.3])
@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("agents", "edges", "hops"), [(2, chain(2), 1), (6, chain(6), 5), (9, grid(3), 4)]
)
def test_it_is_monte_carlo_once_the_hops_span_the_graph(agents, edges, hops, bad, ess):
    factored, plain = pair_of_guidances(hops, ess=ess)
    found, one = guided(factored, edges, agents, bad=bad)
    expected, two = guided(plain, edges, agents, bad=bad)
    assert torch.allclose(found, expected, atol=1e-6)
    assert one.diagnostics.counts == two.diagnostics.counts
    for name, series in two.diagnostics.series.items():
        assert torch.allclose(one.diagnostics.series[name][0], series[0])
    # Terms of the ends are (hops + 1) steps apart, so with two hops fewer something is missing.
    if hops > 2:
        fewer, _ = guided(attrs.evolve(factored, hops=hops - 2), edges, agents, bad=bad)
        assert not torch.allclose(fewer, expected, atol=1e-4)


@st.composite
def connected_graphs(draw):
    """A random tree, and terms of one to three agents besides."""
    agents = draw(st.integers(1, 7))
    tree = [(draw(st.integers(0, number - 1)), number) for number in range(1, agents)]
    member = st.integers(0, agents - 1)
    more = draw(st.lists(st.lists(member, min_size=1, max_size=3), max_size=5))
    return agents, [*tree, *map(tuple, more), (0,)]


@given(graph=connected_graphs(), seed=seeds())
def test_it_is_monte_carlo_on_any_graph_that_the_hops_span(graph, seed):
    agents, members = graph
    factored, plain = pair_of_guidances(agents)
    found, _ = guided(factored, members, agents, seed=seed)
    expected, _ = guided(plain, members, agents, seed=seed)
    assert torch.allclose(found, expected, atol=1e-6)


def shift_of(samples, members, hops, log_weights=None):
    """Σ_m (w - 1/M) a_m for given samples of agents with two values each."""
    agents = samples.shape[-1] // 2
    guidance = FactoredGuidance(Given(samples, log_weights), samples.shape[1], TEMPERATURE, hops)
    problem = product_of(agents)
    context = problem.context(len(samples))
    cost = Coupled(tuple(map(tuple, members)), tuple(range(0, 2 * agents, 2)))
    evaluate = make_evaluate(problem.product, PassThroughPredictor(), cost, context)

    def nothing(noisy, sigma):
        return torch.zeros_like(noisy)

    return guidance.guide(nothing, evaluate, context)(samples[:, 0], torch.tensor(1.0))


@given(graph=connected_graphs(), hops=st.integers(0, 2), seed=seeds())
def test_permuting_agents_permutes_the_result(graph, hops, seed):
    agents, members = graph
    generator = torch.Generator().manual_seed(seed)
    samples = torch.randn(2, 8, 2 * agents, generator=generator).double()
    order = torch.randperm(agents, generator=generator)
    place = order.argsort().tolist()
    columns = (2 * order.unsqueeze(-1) + torch.arange(2)).flatten()
    renamed = [tuple(place[agent] for agent in row) for row in members]
    found = shift_of(samples[..., columns], renamed, hops)
    assert torch.allclose(found, shift_of(samples, members, hops)[:, columns], atol=1e-9)


@given(hops=st.integers(0, 2), seed=seeds())
def test_each_agent_is_weighed_by_the_terms_near_it(hops, seed):
    """By the definition, on a chain with a term an agent: agent by agent, in plain words."""
    agents, members = 5, [*chain(5), *((agent,) for agent in range(5))]
    samples = torch.randn(1, 9, 2 * agents, generator=torch.Generator().manual_seed(seed)).double()
    first = samples[0, :, ::2]
    found = shift_of(samples, members, hops)[0].unflatten(0, (agents, 2))
    for agent in range(agents):
        reached = range(max(0, agent - hops), min(agents, agent + hops + 1))
        rows = [row for row in members if set(row) & set(reached)]
        cost = sum(first[:, list(row)].sum(-1).abs() for row in rows)
        weights = torch.softmax(-cost / TEMPERATURE, 0) - 1 / 9
        expected = weights @ samples[0, :, 2 * agent : 2 * agent + 2]
        assert torch.allclose(found[agent], expected, atol=1e-9)


def test_without_coupling_it_is_monte_carlo_for_each_agent_alone():
    agents = 4
    samples = torch.randn(3, 16, 2 * agents, generator=torch.Generator().manual_seed(1)).double()
    own = torch.randn(3, 16, generator=torch.Generator().manual_seed(2)).double()
    for log_weights in (None, own):
        found = shift_of(samples, [(agent,) for agent in range(agents)], 0, log_weights)
        for agent in range(agents):
            block = slice(2 * agent, 2 * agent + 2)
            alone = MonteCarloGuidance(Given(samples[..., block], log_weights), 16, TEMPERATURE)
            denoised = alone.guide(
                lambda noisy, sigma: torch.zeros_like(noisy),
                lambda flat: flat[..., 0].abs(),
                product_of(1).context(3),
            )(samples[:, 0, block], torch.tensor(1.0))
            assert torch.allclose(found[:, block], denoised, atol=1e-9)


def test_a_nan_loses_the_sample_for_the_agents_near_it_alone():
    found, context = guided(pair_of_guidances(0)[0], chain(4), 4, bad=math.nan)
    clean, _ = guided(pair_of_guidances(0)[0], chain(4), 4)
    changed = ((found - clean).abs() > 1e-9).any(0).unflatten(0, (4, 2)).any(-1)
    assert changed.tolist() == [True, True, False, False]
    assert context.diagnostics.counts["nan_costs"] > 0


def joint_product():
    """Three agents; one factor covers the last and the first, the other the one in the middle."""
    generator = torch.Generator().manual_seed(3)
    both = MixturePolicy(random_mixture(4, 2, generator), action_spec(2, 2))
    single = MixturePolicy(random_mixture(2, 2, generator), action_spec(2, 1))
    return ProductPolicy([Factor(both, (2, 0), blind), Factor(single, (1,), blind)])


@pytest.mark.parametrize("members", [[(0,), (1,), (2,)], [(0, 1), (2,)], [(0, 1), (1, 2), (2,)]])
def test_the_block_of_several_agents_has_their_terms_together(members):
    product = joint_product()
    samples = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(4)).double()
    context = attrs.evolve(product_of(3).context(1), layout=product.layout)
    cost = Coupled(tuple(members), (0, 2, 4))
    evaluate = make_evaluate(product, PassThroughPredictor(), cost, context)
    guidance = FactoredGuidance(Given(samples), 8, TEMPERATURE)
    found = guidance.guide(lambda noisy, sigma: torch.zeros_like(noisy), evaluate, context)(
        samples[:, 0], torch.tensor(1.0)
    )
    first = PassThroughPredictor().predict(None, product.decode(samples)).trajectory[0, :, ::2]
    for block, covered in zip(product.blocks, product.layout.agents, strict=True):
        rows = [row for row in members if set(row) & set(covered)]
        weights = torch.softmax(
            -sum(first[:, list(row)].sum(-1).abs() for row in rows) / TEMPERATURE, 0
        )
        expected = (weights - 1 / 8) @ samples[0, :, block]
        assert torch.allclose(found[0, block], expected, atol=1e-9)


def test_planners_have_the_layout_of_their_product():
    product = joint_product()
    from codi_core.composition import CoordinatedPolicy

    cost = Coupled(((0, 1), (1, 2)), (0, 2, 4))
    guidance = FactoredGuidance(IsotropicPosterior(), 8, TEMPERATURE)
    sampler = AncestralSampler(KarrasSchedule(4))
    planner = CoordinatedPolicy(product, guidance, sampler, PassThroughPredictor(), cost)
    assert planner.layout.agents == ((2, 0), (1,))
    assert planner.layout.action_sizes == (1, 1, 1)
    context = attrs.evolve(product_of(3).context(2), layout=planner.layout)
    assert torch.isfinite(planner.plan(context).flat).all()
    assert context.diagnostics.counts["rollouts"] == 2 * 8 * 4


def test_a_world_planned_alone_or_in_a_batch_agrees():
    problem = product_of(4)
    cost = Coupled(tuple(chain(4)), (0, 2, 4, 6))
    guidance = FactoredGuidance(IsotropicPosterior(), 16, TEMPERATURE, 1)
    planner = problem.coordinated(guidance, AncestralSampler(KarrasSchedule(8)))
    planner.cost = cost
    together = planner.plan(problem.context(3)).flat
    for world in range(3):
        alone = planner.plan(problem.context_of([(0, world, 0)])).flat[0]
        assert torch.allclose(together[world], alone, atol=1e-5)


def test_a_cost_without_locality_is_refused_by_name():
    problem = TrajectoryFamily().problem()
    guidance = FactoredGuidance(IsotropicPosterior(), 8, TEMPERATURE)
    planner = problem.coordinated(guidance, AncestralSampler(KarrasSchedule(4)))
    with pytest.raises(LocalityError, match=f"'{type(problem.cost).__name__}'.*monte-carlo"):
        planner.plan(problem.context(1))
    with pytest.raises(LocalityError, match="function"):
        guidance.guide(problem.denoiser(), lambda flat: flat.sum(-1), problem.context(1))


@pytest.mark.parametrize("settings", [{"hops": -1}, {"hops": 0.5}, {"ess": 1.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises((ValueError, TypeError)):
        FactoredGuidance(IsotropicPosterior(), **settings)


def test_it_is_registered_with_its_options():
    record = load_plugins().guidances.get("factored")
    shared = {"posterior": IsotropicPosterior(), "samples": 8, "temperature": 0.5}
    made = record.factory(**shared, hops=2, ess=0.1)
    assert made == FactoredGuidance(shared["posterior"], 8, 0.5, 2, 0.1)
    assert record.factory(**shared).hops == 0


# Bias and variance, against exact Gaussian solutions.


@pytest.mark.parametrize("stiffness", [0.05, 0.2, 0.5, 1.0, 2.0])
def test_pairs_without_hops_miss_by_two_to_25_percent(stiffness):
    """Agents with the posterior N(0, 1) and the goal 1 shift by ½; alone they would by less."""
    team = GaussianTeam("chain", 2, stiffness)
    assert torch.allclose(team.limit(None), torch.full((2,), 0.5).double())
    assert torch.allclose(team.limit(1), team.limit(None))
    missed = 1 - team.limit(0) / 0.5
    assert torch.allclose(missed, torch.full((2,), stiffness / (2 + 3 * stiffness)).double())
    assert 0.02 <= float(missed[0]) <= 0.25 + 1e-12


@pytest.mark.parametrize(("graph", "agents", "span"), [("chain", 8, 7), ("grid", 9, 4)])
def test_the_bias_falls_with_the_hops_and_vanishes_where_they_span_the_graph(graph, agents, span):
    team = GaussianTeam(graph, agents, 1.0)
    biases = [float((team.limit(hops) - team.limit(None)).norm()) for hops in range(span + 1)]
    assert all(after < 0.7 * before for before, after in zip(biases, biases[1:], strict=False))
    assert biases[span] < 1e-12
    oracle = team.problem.oracle
    assert torch.allclose(oracle.shift(torch.zeros(agents).double(), SIGMA), team.limit(span))


@pytest.mark.parametrize("hops", [0, 1])
@pytest.mark.parametrize("graph", ["chain", "grid"])
def test_many_samples_give_the_limit(graph, hops):
    team = GaussianTeam(graph, 4, 1.0)
    found, _ = estimates(team, hops, 50_000, 8)
    assert torch.allclose(found.mean(0), team.limit(hops), atol=0.02)
    assert float((found.mean(0) - team.limit(None)).abs().max()) > 0.02 or hops


def test_the_limit_is_that_of_the_cost_with_fewer_rows():
    """By completing the square in the oracle, for an agent at the end of a chain."""
    team = GaussianTeam("chain", 4, 0.8)
    posterior = team.problem.oracle.base.posterior(torch.zeros(4).double(), SIGMA)
    # Its own goal and its neighbour's; the pairs (0, 1) and (1, 2).
    rows = [0, 1, 4, 5]
    whole = team.problem.cost
    part = attrs.evolve(whole, rows=whole.rows[rows], target=whole.target[rows])
    shift = tilt(posterior, part, 1.0).mixture.mean()
    assert float(shift[0]) == pytest.approx(float(team.limit(1)[0]), abs=1e-12)


def test_the_variance_does_not_grow_with_the_number_of_agents():
    """At M = 64; the inner agents of a chain all have the same terms near them."""
    found = {
        (hops, agents): measure(Cell("chain", agents, 0.5, 64, hops), 200)["deviation"]
        for hops in (0, 1, None)
        for agents in (8, 64)
    }
    assert found[0, 64] < 1.1 * found[0, 8]
    assert found[1, 64] < 1.1 * found[1, 8]
    assert found[None, 64] > 2 * found[None, 8]
    assert found[0, 64] < 0.2 * found[None, 64]
