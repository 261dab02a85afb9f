"""The check of planners finds what breaks their contract; lost actions are counted and said."""

from __future__ import annotations

import attrs
import pytest
import torch

from codi_core.composition import CoordinatedPolicy
from codi_core.guidance import MonteCarloGuidance, NoGuidance
from codi_core.planning import Plan, Planner
from codi_core.posteriors import IsotropicPosterior
from codi_core.samplers import AncestralSampler, KarrasSchedule
from codi_core.tasks import finite_actions
from codi_core.testing import ConformanceError, PassThroughPredictor, check_planner
from tests.core.estimators.problems import gaussian_problem

WORLDS = 3
SAMPLER = AncestralSampler(KarrasSchedule(4, 10.0, 0.1, 5.0))


def planner(guidance=None) -> CoordinatedPolicy:
    problem = gaussian_problem()
    return CoordinatedPolicy(
        problem.product, guidance or NoGuidance(), SAMPLER, PassThroughPredictor(), problem.cost
    )


def seen():
    return {"observed": torch.randn(WORLDS, 1, 1)}


@attrs.define(eq=False)
class Spoilt(Planner):
    """A planner's plans, changed."""

    inner: Planner
    change: object

    @property
    def layout(self):
        return self.inner.layout

    def plan(self, context):
        return self.change(self.inner.plan(context), context)


def flat_of(plan, change) -> Plan:
    return attrs.evolve(plan, flat=change(plan.flat))


def test_planners_of_the_core_pass() -> None:
    check_planner(planner(), seen())
    check_planner(planner(MonteCarloGuidance(IsotropicPosterior(), 8, 0.5)), seen())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan, context: None, "returned a NoneType"),
        (lambda plan, context: attrs.evolve(plan, chunks=plan.chunks[:1]), "chunks for 1 agents"),
        (lambda plan, context: flat_of(plan, lambda flat: flat[:, :-1]), "flat joint chunk"),
        (lambda plan, context: flat_of(plan, lambda flat: flat * torch.nan), "in 3 of 3 worlds"),
        (
            lambda plan, context: flat_of(plan, lambda flat: flat + torch.rand(1)),
            "the same noise gives two plans",
        ),
        (
            lambda plan, context: flat_of(plan, lambda flat: flat + len(flat)),
            "world 0 planned alone differs by 2",
        ),
        (
            lambda plan, context: context.observation["observed"].zero_() is None or plan,
            "planning changes the observation 'observed'",
        ),
    ],
)
def test_what_breaks_the_contract_is_named(change, message) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_planner(Spoilt(planner(), change), seen())


def test_actions_that_are_no_numbers_are_counted_and_said() -> None:
    actions = torch.tensor([[[0.5]], [[torch.nan]], [[torch.inf]]])
    with pytest.warns(RuntimeWarning, match="Env was given .* in 2 of 3 worlds"):
        kept = finite_actions(actions, "Env")
    assert kept[:2].flatten().tolist() == [0.5, 0.0]
    assert kept[2] == torch.finfo(torch.float32).max


@pytest.mark.filterwarnings("error")
def test_actions_that_are_numbers_are_left_as_they_are() -> None:
    actions = torch.randn(4, 2, 3)
    assert torch.equal(finite_actions(actions, "Env"), actions)
