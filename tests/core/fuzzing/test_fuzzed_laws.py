"""What may never matter: a constant in the cost, the units of J and λ, samples that are lost."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_core.errors import CodiError
from codi_core.posteriors import PosteriorApproximation, PosteriorSamples
from codi_core.testing import Problem
from tests.core.fuzzing.hostile import (
    RANGE,
    Case,
    combinations,
    one_term,
    option_values,
    plan,
    registry,
)
from tests.strategies import seeds, sigmas

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

COMBINATIONS = combinations()
PAIRS = sorted({(chosen["method"], chosen["guidance"]) for chosen in COMBINATIONS})
GUIDES = sorted(
    {
        (chosen["guidance"], chosen["posterior"])
        for chosen in COMBINATIONS
        if chosen["method"] == "codi"
    }
)


@st.composite
def tame_cases(draw: st.DrawFn) -> Case:
    """Cases in which rounding stays small, with lost, forbidden and failed samples."""
    lost = st.sampled_from([0.0, 0.0, math.nan, math.inf])
    return Case(
        worlds=draw(st.integers(1, 2)),
        agents=draw(st.integers(1, 2)),
        horizon=draw(st.integers(1, 2)),
        samples=draw(st.integers(1, 6)),
        temperature=draw(sigmas(0.3, 30.0)),
        table=draw(st.lists(lost, min_size=1, max_size=5).map(tuple)),
        failing=draw(st.sampled_from([0, 3])),
        previous=draw(st.none() | st.just(0.5)),
        seed=draw(seeds()),
    )


def drawn_parts(data, method, guidance, case):
    """Names and options of parts that can plan."""
    chosen = data.draw(
        st.sampled_from(
            [
                each
                for each in COMBINATIONS
                if (each["method"], each["guidance"]) == (method, guidance)
            ]
        )
    )
    options = {"guidance": data.draw(option_values("guidance", guidance, case))}
    if options["guidance"].get("ess", 0) >= 1:
        options["guidance"].pop("ess")
    return chosen, options


def difference(case, other, chosen, options):
    """The largest difference between the plans of two cases; zero if both are refused."""
    try:
        found = plan(case, chosen, options).flat
    except CodiError as error:
        with pytest.raises(type(error)):
            plan(other, chosen, options)
        return 0.0
    return float((found - plan(other, chosen, options).flat).abs().max())


@pytest.mark.parametrize(("method", "guidance"), PAIRS)
@settings(max_examples=10)
@given(data=st.data(), case=tame_cases(), constant=st.integers(-(10**6), 10**6))
def test_adding_a_constant_to_the_cost_changes_nothing(method, guidance, data, case, constant):
    chosen, options = drawn_parts(data, method, guidance, case)
    other = attrs.evolve(case, constant=float(constant))
    assert difference(case, other, chosen, options) < 1e-3


@pytest.mark.parametrize(("method", "guidance"), PAIRS)
@settings(max_examples=10)
@given(data=st.data(), case=tame_cases(), exponent=st.integers(-40, 40))
def test_the_units_of_cost_and_temperature_do_not_matter(method, guidance, data, case, exponent):
    """J and λ from 1e-12 to 1e12 times as large."""
    chosen, options = drawn_parts(data, method, guidance, case)
    scale = 2.0**exponent
    other = attrs.evolve(case, magnitude=scale, temperature=scale * case.temperature)
    assert difference(case, other, chosen, options) < 1e-3


@pytest.mark.parametrize(("method", "guidance"), PAIRS)
@settings(max_examples=10)
@given(data=st.data(), case=tame_cases())
def test_all_ways_of_losing_a_sample_are_one(method, guidance, data, case):
    """NaN says nothing, and -inf, which would take all the weight, is taken for NaN."""
    chosen, options = drawn_parts(data, method, guidance, case)
    swapped = tuple(-math.inf if math.isnan(value) else value for value in case.table)
    other = attrs.evolve(case, table=swapped)
    assert difference(case, other, chosen, options) == 0


# -- one denoising step -------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Padded(PosteriorApproximation):
    """Half of the draws are another posterior's, and as many lie anywhere."""

    inner: PosteriorApproximation

    def draw(self, query, count):
        drawn = self.inner.draw(query, count // 2)
        anywhere = 1e3 + 0 * drawn.samples
        own = drawn.log_weights
        both = None if own is None else torch.cat([own, torch.zeros_like(own)], 1)
        return PosteriorSamples(torch.cat([drawn.samples, anywhere], 1), both)


@attrs.frozen(eq=False)
class OneTerm:
    """What planners hand to guidance: any cost, as one term that involves all agents."""

    problem: Problem
    evaluate: Callable

    def __call__(self, flat):
        return self.evaluate(self.problem, flat)

    def terms(self, flat):
        return one_term(self(flat), self.problem.product.agents)


def guided(case, guidance, posterior, evaluate, sigma, options=None):
    """The guided chunk, the unguided one, (B, D) each."""
    problem = case.problem()
    context, denoiser = case.context(problem), problem.denoiser()
    noisy = sigma.reshape(-1, 1) * torch.randn(
        case.worlds, problem.size, generator=torch.Generator().manual_seed(case.seed)
    )
    made = (
        registry("guidance")
        .get(guidance)
        .factory(
            posterior=posterior, samples=case.samples, temperature=case.temperature, **options or {}
        )
    )
    with torch.no_grad():
        step = made.guide(denoiser, OneTerm(problem, evaluate), context)
        return step(noisy, sigma), denoiser(noisy, sigma)


def levels_of(data, case, low=RANGE[0], high=RANGE[1]):
    """One noise level, or one for each world."""
    one = data.draw(st.sampled_from([low, high]) | sigmas(low, high))
    if data.draw(st.booleans()):
        return torch.tensor(one)
    rest = [data.draw(sigmas(low, high)) for _ in range(case.worlds - 1)]
    return torch.tensor([one, *rest])


# The others draw samples of their own as well, in a share of all.
OF_THE_POSTERIOR = [pair for pair in GUIDES if pair[0] not in ("hybrid", "library")]


@pytest.mark.parametrize(("guidance", "posterior"), OF_THE_POSTERIOR)
@settings(max_examples=10)
@given(data=st.data(), case=tame_cases())
def test_lost_samples_are_as_if_they_had_not_been_drawn(guidance, posterior, data, case):
    inner = registry("posterior").get(posterior).factory()
    sigma = levels_of(data, case, 0.1, 10.0)
    options = {"ess": 0.5} if data.draw(st.booleans()) else {}
    count = case.samples

    def evaluate(problem, flat):
        own = torch.arange(flat.shape[1]) < count
        return torch.where(own, problem.cost(flat), math.nan)

    plain, _ = guided(case, guidance, inner, evaluate, sigma, options)
    twice = attrs.evolve(case, samples=2 * count)
    padded, _ = guided(twice, guidance, Padded(inner), evaluate, sigma, options)
    assert torch.allclose(padded, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("guidance", "posterior"), GUIDES)
@settings(max_examples=10)
@given(
    data=st.data(),
    case=tame_cases(),
    value=st.sampled_from([0.0, 1e12, -1e300, math.nan, math.inf, -math.inf]),
)
def test_costs_that_say_nothing_leave_the_base_policies(guidance, posterior, data, case, value):
    """All equal, all lost or all forbidden: no guidance, at any noise level."""
    inner = registry("posterior").get(posterior).factory()
    sigma = levels_of(data, case)
    found, base = guided(
        case, guidance, inner, lambda _, flat: 0 * flat.double().sum(-1) + value, sigma
    )
    assert torch.equal(found, base) or torch.allclose(found, base, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("guidance", "posterior"), GUIDES)
@settings(max_examples=10)
@given(data=st.data(), case=tame_cases(), factor=st.sampled_from([1e-12, 1.0, 1e12]))
def test_one_step_is_finite_at_any_level(guidance, posterior, data, case, factor):
    inner = registry("posterior").get(posterior).factory()
    sigma = levels_of(data, case)
    temperature = data.draw(st.sampled_from([1e-6, 1e6]))
    extreme = attrs.evolve(case, temperature=temperature)
    found, _ = guided(
        extreme, guidance, inner, lambda problem, flat: factor * problem.cost(flat), sigma
    )
    assert torch.isfinite(found).all()


def test_the_laws_are_not_empty():
    """What is not one of these laws does change a plan."""
    case = Case()
    chosen = {
        "method": "codi",
        "guidance": "monte-carlo",
        "posterior": "isotropic",
        "sampler": "ancestral",
    }
    assert difference(case, attrs.evolve(case, magnitude=4.0), chosen, {}) > 1e-2
    assert difference(case, attrs.evolve(case, temperature=4.0), chosen, {}) > 1e-2
    assert difference(case, attrs.evolve(case, table=(0.0, math.nan)), chosen, {}) > 1e-2
