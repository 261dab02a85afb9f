"""Whatever is planned with whichever parts: finite actions, or an error that has a name."""

from __future__ import annotations

import math

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_core.composition.search import LEVEL
from codi_core.errors import (
    CodiError,
    CostError,
    LocalityError,
    PartError,
    PlanError,
    SpecificationError,
    UsageError,
)
from codi_core.guidance import Guidance
from codi_core.samplers import KarrasSchedule
from tests.core.fuzzing.hostile import (
    KINDS,
    RANGE,
    Case,
    absurd_options,
    broken,
    cases,
    combinations,
    consults,
    names,
    option_values,
    outcome,
    plan,
    registry,
    weighted,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

PLAIN = {
    "method": "codi",
    "guidance": "monte-carlo",
    "posterior": "isotropic",
    "sampler": "ancestral",
}
COMBINATIONS = combinations()
PAIRS = sorted({(chosen["method"], chosen["guidance"]) for chosen in COMBINATIONS})
LOW, HIGH = RANGE

EXTREMES = {
    "plain": Case(),
    "one of everything": Case(1, 1, 1, 1, 1, samples=1, schedule=KarrasSchedule(1)),
    "cold": Case(temperature=1e-6, magnitude=1e12, constant=1e300),
    "rewarding": Case(temperature=1e-6, magnitude=-1e12, cost_dtype=torch.float32),
    "hot": Case(temperature=1e6, magnitude=1e-12, precision=torch.float32),
    "all equal": Case(magnitude=0.0, constant=-1e12, cost_dtype=torch.bfloat16),
    "all NaN": Case(table=(math.nan,), cost_dtype=torch.float16),
    "all forbidden": Case(table=(math.inf,), previous=math.nan),
    "all -inf": Case(table=(-math.inf,), previous=0.5, committed=9),
    "some lost": Case(table=(0.0, math.nan, math.inf), samples=5, failing=4),
    "all levels": Case(schedule=KarrasSchedule(3, HIGH, LOW, 7.0)),
    "lowest levels": Case(schedule=KarrasSchedule(3, 2 * LOW, LOW, 5.0)),
    "highest levels": Case(schedule=KarrasSchedule(3, HIGH, HIGH / 2, 5.0)),
}


def some(**wanted):
    """The combinations with these parts."""
    return [chosen for chosen in COMBINATIONS if wanted.items() <= chosen.items()]


def test_parts_that_are_never_asked_are_tried_once():
    """Each registered part is in some combination; the paper's method meets all of them."""
    for kind in KINDS:
        assert {chosen[kind] for chosen in COMBINATIONS} == set(names(kind))
    assert consults(PLAIN, "posterior")
    assert not consults({**PLAIN, "method": "base"}, "guidance")
    assert len(some(method="codi", guidance="monte-carlo")) == len(names("posterior")) * len(
        names("sampler")
    )


@pytest.mark.parametrize("case", EXTREMES.values(), ids=EXTREMES)
def test_every_combination_survives_the_extremes(case):
    """A warm start gets a level of the schedule; only diverged gradients may fail, by name.

    A search, which noises again, refuses a schedule that ends above its own level.
    """
    middle = math.sqrt(case.schedule.sigma_min * case.schedule.sigma_max)
    for chosen in COMBINATIONS:
        options = {"sampler": {"sigma_warm": middle}} if chosen["sampler"] == "warm-start" else {}
        error = outcome(case, chosen, options)
        ours = all(registry(kind).origin(chosen[kind]) == "codi-core" for kind in KINDS)
        if ours and chosen["method"] == "search" and case.schedule.sigma_min > LEVEL:
            assert isinstance(error, SpecificationError), (chosen, error)
        elif ours and error is not None:
            assert chosen["guidance"] == "reparameterized", (chosen, error)
            assert isinstance(error, PlanError), (chosen, error)


@pytest.mark.parametrize(("method", "guidance"), PAIRS)
@settings(max_examples=40)
@given(data=st.data(), case=cases())
def test_any_problem_gives_finite_actions_or_a_named_error(method, guidance, data, case):
    chosen = data.draw(st.sampled_from(some(method=method, guidance=guidance)))
    options = {kind: data.draw(option_values(kind, chosen[kind], case)) for kind in KINDS}
    outcome(case, chosen, options)


# -- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in names(kind)])
@settings(max_examples=15)
@given(data=st.data())
def test_absurd_options_do_no_harm_or_are_refused_by_name(kind, name, data):
    options = {kind: data.draw(absurd_options(kind, name))}
    outcome(Case(previous=0.5), {**PLAIN, kind: name}, options)


@pytest.mark.parametrize(
    ("kind", "name", "options", "message"),
    [
        ("sampler", "warm-start", {"steps": 2.5}, "refuses steps=2.5: it must be a whole number"),
        ("sampler", "warm-start", {"steps": True}, "must be a whole number"),
        ("sampler", "warm-start", {"cold": "often"}, "refuses cold='often': it must be a number"),
        ("posterior", "jacobian", {"cap": "low"}, "cap='low': it must be a number or none"),
        ("posterior", "matched", {"sigma_data": math.nan}, "must be a finite number"),
        ("posterior", "matched", {"sigma_data": 0.0}, "must be > 0"),
        ("posterior", "denoised", {"steps": 1}, "must be >= 2"),
        ("guidance", "monte-carlo", {"ess": 1.0}, "must be < 1"),
        ("guidance", "monte-carlo", {"es": 0.5}, "has no option 'es'; its options: ess"),
    ],
)
def test_what_is_said_of_an_absurd_option(kind, name, options, message):
    with pytest.raises(UsageError, match=message):
        plan(Case(), {**PLAIN, kind: name}, {kind: options})


@pytest.mark.parametrize("sigma_data", [1e-300, 1e300])
def test_extreme_data_are_limits_of_the_matched_posterior(sigma_data):
    """A huge σ_d is the printed posterior, a tiny one has no spread: equal samples, no guidance."""
    options = {"posterior": {"sigma_data": sigma_data}}
    found = plan(Case(), {**PLAIN, "posterior": "matched"}, options).flat
    cost = None if sigma_data > 1 else weighted(lambda flat: 0 * flat.sum(-1))
    assert torch.allclose(found, plan(Case(), PLAIN, cost=cost).flat, atol=1e-5)


# -- costs that are not costs -------------------------------------------------------------------


def refuses_black_boxes(chosen):
    """Whether a guidance wants to know which agents a cost couples."""
    cost = weighted(lambda flat: flat.sum(-1))
    return isinstance(outcome(Case(), chosen, cost=cost), LocalityError)


def raising(trajectory):
    raise KeyError("gripper")


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (raising, "cost 'hostile' raised KeyError: 'gripper'"),
        (lambda flat: 3.0, "cost 'hostile' returned float"),
        (lambda flat: flat.sum(), "returned shape"),
        (lambda flat: flat, "returned shape"),
    ],
)
def test_a_cost_that_breaks_its_contract_is_named(cost, message):
    for method, guidance in PAIRS:
        chosen = some(method=method, guidance=guidance)[0]
        if refuses_black_boxes(chosen):
            continue
        error = outcome(Case(), chosen, cost=weighted(cost))
        if error is None:
            # Then the method plans without the cost.
            assert plan(Case(), chosen).diagnostics.counts["rollouts"] == 0
        else:
            assert isinstance(error, CostError)
            assert message in str(error)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_costs_may_count(dtype):
    """Whole numbers are as good as others: they are weighted in floating point."""
    cost = weighted(lambda flat: (flat.sum(-1) > 0).to(dtype))
    same = weighted(lambda flat: (flat.sum(-1) > 0).double())
    for method, guidance in PAIRS:
        chosen = some(method=method, guidance=guidance)[0]
        if guidance != "reparameterized" and not refuses_black_boxes(chosen):
            found, wanted = (plan(Case(failing=2), chosen, cost=each).flat for each in (cost, same))
            assert torch.equal(found, wanted), chosen


def test_a_guidance_by_gradient_refuses_a_cost_without_one():
    chosen = {**PLAIN, "guidance": "reparameterized"}
    with pytest.raises(CostError, match="the cost has no gradient"):
        plan(Case(), chosen, cost=weighted(lambda flat: flat.detach().sum(-1)))


# -- what no planner can save -------------------------------------------------------------------


@pytest.mark.parametrize("seen", [math.nan, math.inf])
def test_an_observation_that_is_not_finite_is_reported(seen):
    for method, guidance in PAIRS:
        for chosen in some(method=method, guidance=guidance, sampler="ancestral"):
            assert isinstance(outcome(Case(seen=seen), chosen), CodiError), chosen
        with pytest.raises(PlanError, match="2 of 2 plans are not finite: either a base pol"):
            plan(Case(seen=seen), {**PLAIN, "method": method})


@pytest.mark.parametrize("method", names("method"))
def test_levels_beyond_the_policies_range_are_refused(method):
    case = Case(schedule=KarrasSchedule(3, 2 * HIGH, LOW))
    with pytest.raises(SpecificationError, match="leave the range"):
        plan(case, {**PLAIN, "method": method})


# -- the check itself ---------------------------------------------------------------------------


class Careless(Guidance):
    """Divides by the spread of the costs, as if there always were one."""

    def guide(self, denoiser, evaluate, context):
        def guided(noisy, sigma):
            samples = context.noise.normal(3, noisy.shape[-1])
            cost = evaluate(samples)
            weights = torch.softmax(-cost / cost.std(-1, keepdim=True), -1)
            return denoiser(noisy, sigma) + torch.einsum("bm,bmd->bd", weights.float(), samples)

        return guided


class Crashing(Guidance):
    """Looks for a cheapest sample that is not there."""

    def guide(self, denoiser, evaluate, context):
        def guided(noisy, sigma):
            cost = evaluate(context.noise.normal(3, noisy.shape[-1]))
            found = [int(torch.nonzero(row == row.min())[0, 0]) for row in cost]
            return denoiser(noisy, sigma) + 0 * len(found)

        return guided


def test_a_nan_does_not_reach_the_loop():
    """The plain problem hides the fault; costs that are all equal show it."""
    assert outcome(EXTREMES["plain"], PLAIN, guidance=Careless()) is None
    assert isinstance(outcome(EXTREMES["all equal"], PLAIN, guidance=Careless()), PlanError)


def test_a_plan_with_nan_or_of_a_wrong_shape_is_caught():
    good = plan(Case(), PLAIN)
    first, second = good.chunks
    assert broken(Case(), good) is None
    for bad, wrong in (
        (attrs.evolve(good, chunks=(first, second * math.nan)), "an action that is not finite"),
        (attrs.evolve(good, flat=good.flat * math.inf), "an action that is not finite"),
        (attrs.evolve(good, chunks=(first, second.long())), "chunks of torch.int64"),
        (attrs.evolve(good, chunks=(first,)), "chunks of shapes"),
        (attrs.evolve(good, chunks=(first, second[:1])), "chunks of shapes"),
    ):
        assert broken(Case(), bad).startswith(wrong)


def test_an_error_without_a_name_is_caught():
    assert outcome(EXTREMES["plain"], PLAIN, guidance=Crashing()) is None
    with pytest.raises(PartError, match="IndexError"):
        outcome(EXTREMES["all NaN"], PLAIN, guidance=Crashing())
