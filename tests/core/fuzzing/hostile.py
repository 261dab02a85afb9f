"""Problems that are as awkward as the interfaces allow, and what may come of planning in them."""

from __future__ import annotations

import inspect
import math

import attrs
import torch
from hypothesis import strategies as st

from codi_core.costs import CostFunction, CostTerm, CostTerms, LocalCost, WeightedCost
from codi_core.errors import CodiError, PartError, PlanError
from codi_core.execution import check_plan
from codi_core.execution.plan_check import NOT_FINITE
from codi_core.host.choices import make_part
from codi_core.host.discovery import CORE
from codi_core.host.plugins import load_plugins
from codi_core.host.records import MethodParts
from codi_core.planning import Plan
from codi_core.policies import Normaliser
from codi_core.predictors import Prediction, Predictor
from codi_core.samplers import KarrasSchedule
from codi_core.testing import MixturePolicy, PassThroughPredictor, Problem, action_spec
from tests.strategies import AWKWARD, random_mixture, random_quadratic, seeds, temperatures

HOST = load_plugins()
KINDS = ("method", "guidance", "posterior", "sampler")
RANGE = (1e-6, 1e6)
"""The noise levels of the closed-form policies."""


def names(kind: str) -> tuple[str, ...]:
    """All that is registered of a kind, by whatever is installed; of methods the core's own.

    Those of others may be trained for one task, or ask something of it.
    """
    records = registry(kind)
    return tuple(
        name for name in records.names() if kind != "method" or records.origin(name) == CORE
    )


def registry(kind: str):
    return {
        "method": HOST.methods,
        "guidance": HOST.guidances,
        "posterior": HOST.posteriors,
        "sampler": HOST.samplers,
    }[kind]


@attrs.frozen
class Hostile(LocalCost):
    """A quadratic cost of any magnitude, plus a constant, plus what a table says of each sample.

    Differentiable and of one term that involves all agents, so that no guidance may refuse it.

    Attributes:
        agents: N.
        quadratic: Q(a).
        magnitude: what it is multiplied with; 0 makes all costs equal.
        constant: is added.
        table: is added to sample m at m modulo its length; its NaN and infinities too.
        dtype: of the costs.
    """

    agents: int
    quadratic: CostFunction
    magnitude: float = 1.0
    constant: float = 0.0
    table: tuple[float, ...] = (0.0,)
    dtype: torch.dtype = torch.float64

    def terms(self, trajectory):
        values = self.magnitude * self.quadratic(trajectory) + self.constant
        rows = torch.arange(values.shape[-1]) % len(self.table)
        values = (values + torch.tensor(self.table, dtype=torch.float64)[rows]).to(self.dtype)
        return one_term(values, self.agents)


def one_term(values, agents: int) -> CostTerms:
    """Costs (B, M) as one term a world, which involves all agents."""
    worlds = len(values)
    members = torch.arange(agents).expand(worlds, -1)
    return CostTerms(values, torch.arange(worlds), members, worlds)


@attrs.frozen
class Failing(Predictor):
    """Passes chunks through, and calls every ``period``-th prediction failed; 0 for none."""

    period: int = 0

    def predict(self, state, chunks):
        flat = PassThroughPredictor().predict(state, chunks).trajectory
        if not self.period:
            return Prediction(flat)
        number = torch.arange(flat.shape[1]).expand(flat.shape[:2])
        return Prediction(flat, number % self.period != 0)


@attrs.frozen
class Case:
    """One problem, and how to plan in it.

    Attributes:
        worlds, agents, horizon, dimension, components: B, N, K, A and the modes of each policy.
        shared: all agents have one policy.
        precision: of the base policies.
        spread: the scale of the data in normalised units.
        unit: the physical size of one normalised unit.
        samples: M.
        temperature: λ.
        schedule: the noise levels.
        magnitude, constant, table, cost_dtype: of the cost, see :class:`Hostile`.
        failing: every how many predictions one fails; 0 for none.
        previous: None, or the value that fills the previous plan.
        committed: how many of its actions were executed.
        seen: None for policies that read nothing, or the value that fills the observation.
        seed: of all that is random.
    """

    worlds: int = 2
    agents: int = 2
    horizon: int = 2
    dimension: int = 1
    components: int = 2
    shared: bool = False
    precision: torch.dtype = torch.float64
    spread: float = 1.0
    unit: float = 1.0
    samples: int = 3
    temperature: float = 1.0
    schedule: KarrasSchedule = attrs.field(factory=lambda: KarrasSchedule(3, 40.0, 0.05, 5.0))
    magnitude: float = 1.0
    constant: float = 0.0
    table: tuple[float, ...] = (0.0,)
    cost_dtype: torch.dtype = torch.float64
    failing: int = 0
    previous: float | None = None
    committed: int = 1
    seen: float | None = None
    seed: int = 0

    def problem(self) -> Problem:
        generator = torch.Generator().manual_seed(self.seed)
        action = action_spec(self.horizon, self.dimension)
        gain = None if self.seen is None else torch.ones(action.size, 1).to(self.precision)
        unit = torch.full((self.dimension,), self.unit)
        policies = [
            MixturePolicy(
                _of_precision(
                    random_mixture(action.size, self.components, generator).scaled(self.spread),
                    self.precision,
                ),
                action,
                Normaliser(torch.zeros(self.dimension), unit),
                gain,
            )
            for _ in range(1 if self.shared else self.agents)
        ]
        observation = {}
        if self.seen is not None:
            observation["observed"] = torch.full((self.worlds, 1, self.agents, 1), self.seen)
        return Problem(
            tuple(policies * (self.agents if self.shared else 1)),
            random_quadratic(self.agents * action.size, generator),
            self.temperature,
            observation,
            Failing(self.failing),
        )

    def context(self, problem: Problem):
        levels = (self.schedule.sigma_min, self.schedule.sigma_max)
        context = attrs.evolve(problem.context(self.worlds, self.seed), sigma_range=levels)
        if self.previous is None:
            return context
        previous = torch.full((self.worlds, problem.size), self.previous)
        return attrs.evolve(context, previous=previous, committed=self.committed)

    def evaluated(self, problem: Problem) -> CostFunction:
        """The cost as the host makes it: a named term of a weighted sum."""
        options = (self.magnitude, self.constant, self.table, self.cost_dtype)
        return weighted(Hostile(self.agents, problem.cost, *options))


def weighted(cost: CostFunction) -> WeightedCost:
    return WeightedCost((CostTerm("hostile", cost),))


def _of_precision(mixture, dtype):
    return attrs.evolve(
        mixture,
        **{
            field.name: getattr(mixture, field.name).to(dtype)
            for field in attrs.fields(type(mixture))
        },
    )


def plan(case: Case, chosen, options=None, cost: CostFunction | None = None, **replaced) -> Plan:
    """Make one plan with the registered parts of these names.

    Args:
        case: the problem.
        chosen: the name of the part of each kind.
        options: the options of each kind's part, as a user writes them.
        cost: replaces the case's own.
        replaced: parts instead of the registered ones, by their kinds.
    """
    problem, options = case.problem(), options or {}

    def make(kind, *args, **given):
        if kind in replaced:
            return replaced[kind]
        name = chosen[kind]
        factory = registry(kind).get(name).factory
        return make_part(factory, f"{kind} '{name}'", *args, options=options.get(kind), **given)

    scale = {"samples": case.samples, "temperature": case.temperature}
    guidance = make("guidance", posterior=make("posterior"), **scale)
    sampler = make("sampler", schedule=case.schedule)
    cost = case.evaluated(problem) if cost is None else cost
    parts = MethodParts(problem.product, problem.predictor, cost, guidance, sampler, **scale)
    planner = make("method", parts)
    made = planner.plan(case.context(problem))
    finite = check_plan(made, planner.layout, case.worlds, type(planner).__name__)
    if not bool(finite.all()):  # what the loop says of them
        raise PlanError(f"{int((~finite).sum())} of {case.worlds} plans {NOT_FINITE}")
    return made


def broken(case: Case, result: Plan) -> str | None:
    """What is wrong with a plan, or None: shapes, and finite actions."""
    shape = (case.worlds, case.horizon, case.dimension)
    if [tuple(chunk.shape) for chunk in result.chunks] != [shape] * case.agents:
        return f"chunks of shapes {[tuple(chunk.shape) for chunk in result.chunks]}, not {shape}"
    for chunk in (*result.chunks, result.flat):
        if not chunk.is_floating_point():
            return f"chunks of {chunk.dtype}"
        if not bool(torch.isfinite(chunk).all()):
            return "an action that is not finite"
    return None


def outcome(case: Case, chosen, options=None, cost=None, **replaced) -> CodiError | None:
    """Plan; an error that is named is returned, anything else but a good plan fails the test."""
    try:
        result = plan(case, chosen, options, cost, **replaced)
    except CodiError as error:
        if type(error) is PartError:  # a part of our own that raised
            raise error from error.__cause__
        return error
    wrong = broken(case, result)
    assert wrong is None, f"{chosen} with {options}: {wrong}"
    return None


class ConsultedError(Exception):
    """Somebody asked a stand-in for something."""


class StandIn:
    """A part without any method; a sampler's stand-in has a schedule all the same."""

    schedule = Case().schedule

    def __getattr__(self, name):
        raise ConsultedError(name)


def consults(chosen, kind: str) -> bool:
    """Whether a plan depends on the part of this kind. If it can't be planned, perhaps."""
    try:
        plan(Case(), chosen, **{kind: StandIn()})
    except (ConsultedError, CodiError):
        return True
    return False


def combinations() -> list[dict[str, str]]:
    """All combinations of registered parts, but one only where a part is never consulted.

    Samplers other than the default one meet each guidance and each posterior, but not each pair.
    """
    found: list[dict[str, str]] = [{kind: names(kind)[0] for kind in KINDS}]
    for kind in KINDS:
        found = [
            {**chosen, kind: name}
            for chosen in found
            for name in names(kind)
            if name == chosen[kind] or kind == "method" or consults(chosen, kind)
        ]
    return [chosen for chosen in found if not all(unusual(chosen))]


def unusual(chosen) -> list[bool]:
    """Of guidance, posterior and sampler, whether it is another than the first of its kind."""
    return [chosen[kind] != names(kind)[0] for kind in KINDS if kind != "method"]


def schedules() -> st.SearchStrategy[KarrasSchedule]:
    """Noise levels anywhere in the policies' range, also all at one of its ends."""
    ends = st.sampled_from(
        [RANGE, (0.05, 40.0), (RANGE[0], 2 * RANGE[0]), (RANGE[1] / 2, RANGE[1]), (1.0, 1.0 + 1e-6)]
    )
    rho = st.sampled_from([1e-3, 0.5, 1.0, 5.0, 7.0, 100.0])
    return st.builds(
        lambda steps, ends, rho: KarrasSchedule(steps, ends[1], ends[0], rho),
        st.integers(1, 4),
        ends,
        rho,
    )


def magnitudes() -> st.SearchStrategy[float]:
    return st.sampled_from([1.0, 0.0, -1.0, 1e-12, 1e12, -1e12])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Anything that the interfaces allow."""
    values = st.just(0.0) | st.sampled_from(AWKWARD)
    return Case(
        worlds=draw(st.integers(1, 3)),
        agents=draw(st.integers(1, 3)),
        horizon=draw(st.integers(1, 3)),
        dimension=draw(st.integers(1, 2)),
        components=draw(st.integers(1, 2)),
        shared=draw(st.booleans()),
        precision=draw(st.sampled_from([torch.float64, torch.float32])),
        spread=draw(st.sampled_from([1.0, 1e-3, 1e3])),
        unit=draw(st.sampled_from([1.0, 1e-3, 1e6])),
        samples=draw(st.integers(1, 5)),
        temperature=draw(st.sampled_from([1e-6, 1e6]) | temperatures()),
        schedule=draw(schedules()),
        magnitude=draw(magnitudes()),
        constant=draw(st.sampled_from([0.0, 1e12, -1e12, 1e300])),
        table=tuple(draw(st.lists(values, min_size=1, max_size=5))),
        cost_dtype=draw(
            st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16])
        ),
        failing=draw(st.integers(0, 3)),
        previous=draw(st.none() | st.sampled_from([0.5, 1e6, 1e30, math.nan, math.inf])),
        committed=draw(st.integers(0, 4)),
        seen=draw(st.none() | st.sampled_from([0.0, 1.0, 1e6])),
        seed=draw(seeds()),
    )


def option_values(kind: str, name: str, case: Case) -> st.SearchStrategy[dict]:
    """Values for the options of a part that mostly make sense for the case."""
    middle = math.sqrt(case.schedule.sigma_min * case.schedule.sigma_max)
    return _options(kind, name, [0.5, middle], [1, 2, 3])


def absurd_options(kind: str, name: str) -> st.SearchStrategy[dict]:
    """Values that a user may write and nobody wants."""
    numbers = [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e-300, 1e300, 2.5, "many", None, True]
    return _options(kind, name, numbers, [*numbers, -1, 0])


def _options(kind, name, floats, integers) -> st.SearchStrategy[dict]:
    parameters = inspect.signature(registry(kind).get(name).factory).parameters.values()
    pools = {
        # Parameters that the host passes have no default.
        parameter.name: _pool(str(parameter.annotation), floats, integers)
        for parameter in parameters
        if parameter.default is not parameter.empty
    }
    return st.fixed_dictionaries(
        {}, optional={option: st.sampled_from(pool) for option, pool in pools.items()}
    )


def _pool(annotation: str, floats, integers):
    if annotation == "str":  # a sampler's name
        return [*names("sampler"), "nobody"]
    return integers if "int" in annotation else floats
