"""Selection from one prediction: the same plans as where all is predicted again at each turn."""

from __future__ import annotations

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_core import experiments
from codi_core.composition.plan_cost import PlanCost
from codi_core.costs import CostTerm, CostTerms, LocalCost, WeightedCost, local_terms
from codi_core.errors import CostError, SpecificationError
from codi_core.planning import NoiseSource, PlanContext
from codi_core.predictors import Prediction, Predictor
from codi_core.tasks import EpisodeKey
from codi_navigation.prediction.predictor import NavigationPredictor
from codi_navigation.task import COSTS
from codi_navigation.vehicles import Team
from tests.navigation.worlds import random_chunks, random_state


class Anew(Predictor):
    """Foresees what another predictor does, and is not known to be separable."""

    def __init__(self, predictor):
        self.predictor, self.samples = predictor, 0

    def predict(self, state, chunks):
        self.samples += chunks[0].shape[1]
        return self.predictor.predict(state, chunks)


@pytest.fixture(scope="module", params=["holonomic", "mixed"])
def crossing(request):
    """A planner of five robots that meet in the middle, and what they see."""
    options = {"agents": 5, "vehicle": request.param}
    experiment = experiments.prepare("navigation-swap", options, method="search:candidates=8")
    costs = ("goal", "separation", "imminent", "keep-right", "roundabout", "detour")
    terms = [CostTerm(name, COSTS[f"navigation-{name}"](), 2.0) for name in costs]
    planner = attrs.evolve(experiment.planner(), cost=WeightedCost(tuple(terms)))
    environment = experiment.environment()
    step = environment.reset([EpisodeKey(41, world) for world in range(3)])
    for _ in range(5):
        step = environment.step((torch.tensor([[0.4, 0.1]]).expand(3, 2),) * 5)
    return planner, step


def plan(planner, step, previous=None):
    observation = {name: value.unsqueeze(1) for name, value in step.observation.items()}
    noise = NoiseSource([(7, world, 0) for world in range(3)])
    context = PlanContext(noise, observation, planner.layout, step.state, previous=previous)
    return planner.plan(context)


def test_a_search_predicts_once_what_it_selects_from(crossing):
    planner, step = crossing
    anew = attrs.evolve(planner, predictor=Anew(planner.predictor))
    once, again = plan(planner, step), plan(anew, step)
    assert torch.equal(once.flat, again.flat)
    spent, repeated = (made.diagnostics.counts["rollouts"] for made in (once, again))
    guided = 128 * planner.spending.steps
    assert spent == 3 * (9 + guided + 2 + 2)  # the rows, the steps, both ends and the comparison
    assert repeated == 3 * anew.predictor.samples >= spent + 3 * 2 * (9 + 2)
    once, again = plan(planner, step, once.flat), plan(anew, step, again.flat)
    assert torch.equal(once.flat, again.flat)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["holonomic", "unicycle", "mixed"]))
def test_terms_of_robots_that_move_are_those_of_their_actions(seed, kind):
    """For any robots that move and any choices of the others: values, and which terms there are."""
    worlds, robots, samples = 2, 6, 4
    generator = torch.Generator().manual_seed(seed)
    state = random_state(seed, robots, kind, worlds)
    predictor = NavigationPredictor(Team.of(kind, robots))
    chunks = random_chunks(seed, robots, worlds, samples)
    numbers = torch.randint(samples, (worlds, robots), generator=generator)
    moving = torch.rand(worlds, robots, generator=generator) < 0.4
    trajectory = predictor.predict(state, chunks).trajectory
    found = predictor.recombine(trajectory, numbers, moving)
    pairs = found.pairs.world, found.pairs.members
    assert moving[pairs[0].unsqueeze(-1), pairs[1]].any(-1).all()
    assert not len(found.pairs) or len(found.pairs) <= len(trajectory.pairs)
    other = tuple(
        torch.where(move[:, None, None, None], chunk, chunk[[0, 1], number].unsqueeze(1))
        for chunk, number, move in zip(chunks, numbers.unbind(-1), moving.unbind(-1), strict=True)
    )
    wanted = predictor.predict(state, other).trajectory
    torch.testing.assert_close(found.path, wanted.path, rtol=0, atol=1e-6)
    for name in ("separation", "imminent", "keep-right"):
        cost = COSTS[f"navigation-{name}"]()
        near = [local_terms(cost, each).involving(robots)[moving] for each in (found, wanted)]
        torch.testing.assert_close(*near, rtol=0, atol=1e-5)


def judge(predictor, cost, robots=3):
    """J of a plan for one world."""
    experiment = experiments.prepare("navigation-swap", {"agents": robots})
    product = experiment.product()
    state = random_state(0, robots)
    context = PlanContext(NoiseSource([(0, 0, 0)]), {}, product.layout, state)
    return PlanCost(product, predictor, cost, context), torch.zeros(1, 2, product.size)


class Words(LocalCost):
    """Has terms the first time that it is asked."""

    calls = 0

    def terms(self, trajectory):
        self.calls += 1
        pairs, values = trajectory.pairs, trajectory.nearest
        terms = CostTerms(values, pairs.world, pairs.members, trajectory.state.worlds)
        return terms if self.calls == 1 else "nothing"


def test_what_goes_wrong_is_named():
    predictor = NavigationPredictor(Team.of("holonomic", 3))
    cost = WeightedCost((CostTerm("wordy", Words()), CostTerm("goal", COSTS["navigation-goal"]())))
    evaluate, flat = judge(predictor, cost)
    known = evaluate.recombination(flat)
    assert known.own.members.shape[-1] == 1 and len(known.own.values) == 3
    with pytest.raises(CostError, match="the terms of cost 'wordy' are str, not CostTerms"):
        known.beside(torch.zeros(1, 3, dtype=torch.int64), torch.tensor([[True, False, False]]))

    class Fails(NavigationPredictor):
        def predict(self, state, chunks):
            made = super().predict(state, chunks)
            return Prediction(made.trajectory, torch.ones(1, 2, dtype=torch.bool))

        def recombine(self, trajectory, numbers, moving):
            raise RuntimeError("no")

    evaluate, flat = judge(Fails(predictor.team), cost)
    with pytest.raises(SpecificationError, match=r"Fails is separable.*make it a Predictor"):
        evaluate.recombination(flat)


def test_a_predictor_that_is_not_separable_is_not_asked():
    predictor = Anew(NavigationPredictor(Team.of("holonomic", 3)))
    evaluate, flat = judge(predictor, COSTS["navigation-separation"]())
    assert evaluate.recombination(flat) is None
    assert predictor.samples == 0
