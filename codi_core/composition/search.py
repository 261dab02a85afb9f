"""Search: select agent by agent among cheap samples of the base policies, then guide from there."""

from __future__ import annotations

import math

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.composition.levels import at_levels_of, check_levels
from codi_core.composition.plan_cost import PlanCost, make_evaluate
from codi_core.composition.selection import (
    FEW_FACTORS,
    Candidates,
    Combinations,
    Judge,
    at_once,
    draw_row,
    judged,
    locally_judged,
    one_by_one,
    select,
)
from codi_core.costs import CostFunction, has_locality
from codi_core.errors import SpecificationError
from codi_core.guidance import Guidance, guide_checked
from codi_core.planning import (
    ChunkLayout,
    Denoiser,
    Descent,
    Evaluate,
    Plan,
    PlanContext,
    Planner,
    prepare,
)
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.policies import ProductPolicy, ProductSampler
from codi_core.predictors import Predictor
from codi_core.samplers import ANCESTRAL, DpmSolverSampler, Integrator, Schedule
from codi_core.samplers.warm_start import shifted_previous

CALLS = 100
"""How many rows a factor's policy is called with for its candidates, unless a budget decides."""

STEPS, MOST_STEPS = 4, 8
"""Guided steps for two factors, and for many, unless a budget decides."""

LEVEL, MOST_LEVEL = 2.0, 5.0
"""The noise level that guidance begins at where factors have one neighbour, and the highest one."""

MARGIN = 0.1
"""How much dearer a plan may get by guidance, in standard deviations of the candidates' J."""


@attrs.frozen
class Spending:
    """What the rollouts of a plan are spent on.

    Attributes:
        candidates: C, the fresh candidates of each factor.
        steps: the guided denoising steps.
    """

    candidates: int
    steps: int

    @classmethod
    def usual(cls, factors: int, calls: int) -> Spending:
        """100 / n - 1 candidates where one takes n calls, and 4 √(F - 1) guided steps, from 4 to 8.

        Candidates take most of a plan's time, so there are as many as time is for. What is
        selected agent by agent must be mended where several have to move at once, and the more of
        them there are, the more steps that takes.
        """
        steps = min(MOST_STEPS, round(STEPS * math.sqrt(max(1, factors - 1))))
        return cls(max(1, CALLS // calls - 1), steps)

    @classmethod
    def of(cls, rollouts: int, factors: int, sweeps: int, samples: int) -> Spending:
        """Half of a budget for guided steps, at least one, and the rest for candidates.

        Args:
            rollouts: the budget; what is spent is at most that, and less where factors move at
                once.
            factors: F.
            sweeps: how many turns each factor has in the selection.
            samples: M, the rollouts of a guided step.

        Raises:
            SpecificationError: it doesn't suffice for one candidate beside the previous plan.
        """
        compared = 2 * factors + 2
        rest, turns = rollouts - compared, 1 + sweeps * factors
        steps = max(1, min(rest // 2, rest - 2 * turns) // samples)
        candidates = (rest - steps * samples) // turns - 1
        if candidates < 1:
            least = samples + compared + 2 * turns
            raise SpecificationError(
                f"{rollouts} rollouts are too few for a search with M {samples} and {factors} "
                f"factors of the product policy: it needs at least {least}"
            )
        return cls(candidates, steps)


@attrs.frozen(eq=False)
class Search(Planner):
    """Selects agent by agent, guides from there, and lets each agent choose between both.

    Each factor has C fresh samples of its base policy and its share of the previous plan as
    candidates. One joint chunk is drawn out of their C + 1 to the power of F combinations by
    :func:`~codi_core.composition.selection.select`. It is noised again and denoised under guidance,
    as by a warm start: that moves all agents at once, and off the candidates. At last each factor
    chooses between its guided chunk and the one that was selected, beginning with all guided ones:
    where guidance served a factor badly, that is undone for it alone. Where it served all of them
    together badly, what was selected is the plan.

    Selection alone (``steps`` = 0) leaves π of Eq. 7 invariant. With guidance the plan is a cheap
    one instead of a draw from π.

    Attributes:
        product: the product of the base policies (Eq. 13).
        schedule: the range and the spacing of noise levels.
        predictor: foresees what joint actions lead to.
        cost: J(s, a). Where it is local, agents that share no term are selected at once.
        guidance: guides from what was selected.
        samples: M, the rollouts of a guided step.
        temperature: λ of Eq. 6.
        rollouts: the budget of a plan, see :meth:`Spending.of`; None leaves it to the next two.
        candidates: C; None stands for :meth:`Spending.usual`.
        steps: guided denoising steps; None likewise, and 0 selects only.
        sweeps: how many turns each factor has in the selection.
        calls: how often the base policies are called for the candidates.
        start: the noise level that the candidates begin at.
        sampler: takes the steps of the candidates.
        student: draws the candidates instead; ``calls``, ``start`` and ``sampler`` are then not
            used.

    Raises:
        SpecificationError: the noise levels leave the base policies' range or leave no room, or
            the budget is too small.
    """

    product: ProductPolicy
    schedule: Schedule
    predictor: Predictor
    cost: CostFunction
    guidance: Guidance
    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    temperature: float = attrs.field(default=TEMPERATURE, validator=validators.gt(0))
    rollouts: int | None = attrs.field(
        default=None, validator=validators.optional(validators.gt(0))
    )
    candidates: int | None = attrs.field(
        default=None, validator=validators.optional(validators.gt(0))
    )
    steps: int | None = attrs.field(default=None, validator=validators.optional(validators.ge(0)))
    sweeps: int = attrs.field(default=1, validator=validators.ge(0))
    calls: int = attrs.field(default=4, validator=validators.ge(1))
    start: float = attrs.field(default=10.0, validator=validators.gt(0))
    sampler: Integrator = attrs.field(factory=DpmSolverSampler)
    student: ProductSampler | None = None

    layout: ChunkLayout = attrs.field(init=False)
    spending: Spending = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        check_levels(self.product, self.schedule)
        lowest = min(self.start, LEVEL)
        if self.schedule.sigma_min >= lowest:
            raise SpecificationError(
                f"a search noises again from the noise level {lowest:g} on, but the schedule ends "
                f"at {self.schedule.sigma_min:g}: lower sigma_min"
            )

    @layout.default
    def _layout(self) -> ChunkLayout:
        return self.product.layout

    @spending.default
    def _spending(self) -> Spending:
        factors = len(self.product.blocks)
        if self.rollouts is not None:
            given = [name for name in ("candidates", "steps") if getattr(self, name) is not None]
            if given:
                raise SpecificationError(
                    f"a search has both rollouts and {' and '.join(given)}: rollouts decide these"
                )
            return Spending.of(self.rollouts, factors, self.sweeps, self.samples)
        calls = self.calls if self.student is None else self.student.calls
        usual = Spending.usual(factors, calls)
        return Spending(
            usual.candidates if self.candidates is None else self.candidates,
            usual.steps if self.steps is None else self.steps,
        )

    @torch.no_grad()
    def plan(self, context: PlanContext) -> Plan:
        """Plan one joint chunk for each of B worlds."""
        context = at_levels_of(self.schedule, context)
        with context.diagnostics.stage("plan"):
            denoiser = self.product.denoiser(context.observation)
            evaluate = make_evaluate(self.product, self.predictor, self.cost, context)
            candidates = self._candidates(denoiser, context)
            judging = locally_judged if has_locality(self.cost) else judged
            cost, judge = judging(candidates, evaluate)
            row = draw_row(cost, self.temperature, context).expand(-1, candidates.factors)
            flat = select(candidates, row, judge, self.temperature, self.sweeps, context)
            if self.spending.steps:
                guided = self._guided(flat, judge, denoiser, evaluate, context)
                both = Candidates(torch.stack((guided, flat), 1), self.layout)
                compare, judge = _comparing(both, evaluate, judge)
                chosen = self._chosen(both, judge, context)
                cheap_enough = self._is_cheap(chosen, flat, MARGIN * _spread(cost), compare)
                flat = torch.where(cheap_enough, chosen, flat)
        return Plan(self.product.decode(flat), flat, context.diagnostics)

    def _candidates(self, denoiser: Denoiser, context: PlanContext) -> Candidates:
        """Fresh samples, and the previous plan in the last row where there is a usable one."""
        with context.diagnostics.stage("candidates"):
            rows = self._drawn(denoiser, self.spending.candidates + 1, context)
        previous = shifted_previous(context)
        if previous is not None:
            usable = torch.isfinite(previous).all(-1, keepdim=True)
            rows[:, -1] = torch.where(usable, previous, rows[:, -1])
        return Candidates(rows, self.layout)

    def _drawn(self, denoiser: Denoiser, count: int, context: PlanContext) -> Tensor:
        """Samples of the base policies, (B, count, D)."""
        if self.student is not None:
            return self.student.draw(count, context)
        schedule = self.schedule.starting_at(min(self.start, self.schedule.sigma_max), self.calls)
        levels = schedule.levels(context.noise.device)
        prepare(denoiser, levels[:-1])
        noise = context.noise.normal(count, self.product.size)
        return self.sampler.integrate(denoiser, levels[0] * noise, Descent(levels), context)

    def _levels(self, coupling: Tensor) -> Tensor:
        """The noise levels of the guided steps of each world, (steps + 1, B).

        They begin at 2 √n for n neighbours of a factor on average, and from 2 to 5. Selection moves
        one factor at a time, and so gets stuck where several would have to move together; which is
        the more often, the more of them bear on each other. Guidance from more noise can undo
        that, at the price of forgetting more of what was found.
        """
        first = (LEVEL * coupling.clamp_min(1.0).sqrt()).clamp_max(MOST_LEVEL)
        first = first.clamp_max(self.schedule.sigma_max)
        return self.schedule.levels_from(first, self.spending.steps)

    def _guided(
        self,
        selected: Tensor,
        judge: Judge,
        denoiser: Denoiser,
        evaluate: PlanCost,
        context: PlanContext,
    ) -> Tensor:
        """What guidance makes of the selected chunk, (B, D)."""
        levels = self._levels(judge.coupling())
        noisy = selected + levels[0].unsqueeze(-1) * context.noise.normal(self.product.size)
        guided = guide_checked(self.guidance, denoiser, evaluate, context)
        return ANCESTRAL.integrate(guided, noisy, Descent(levels, context), context)

    def _chosen(self, both: Candidates, judge: Judge, context: PlanContext) -> Tensor:
        """The guided chunk, with the selected one of each factor that is better off with it.

        Args:
            both: the guided and the selected chunk, (B, 2, D).
            judge: says what they cost.
            context: the plan.
        """
        guided = both.rows[:, 0]
        numbers = torch.zeros_like(judge.neighbours[:, 0], dtype=torch.int64)
        # However late it is, there is time for these few rollouts.
        unhurried = attrs.evolve(context, deadline=None)
        flat = select(both, numbers, judge, self.temperature, 1, unhurried)
        kept = [(flat[:, block] == guided[:, block]).all(-1) for block in self.layout.blocks]
        context.diagnostics.record("guided_share", torch.stack(kept, -1).float().mean(-1))
        return flat

    def _is_cheap(
        self, chosen: Tensor, selected: Tensor, margin: Tensor, evaluate: Evaluate
    ) -> Tensor:
        """Whether the chosen chunk costs as little as the selected one, but for a margin: (B, 1).

        Costs look one chunk ahead, so a small difference says little: robots that yield to each
        other have a cheap chunk before them, and then another one, and never arrive.
        """
        after, before = torch.split(evaluate(torch.stack((chosen, selected), 1)), 1, -1)
        return (after <= before + margin) | ~torch.isfinite(before)


def _comparing(both: Candidates, evaluate: PlanCost, judge: Judge) -> tuple[Evaluate, Judge]:
    """J and the judge of two chunks, which few factors' combinations are given to at once."""
    if judge.local:
        return evaluate, attrs.evolve(judge, given_others=at_once(both, evaluate))
    known = Combinations.of(both, evaluate) if both.factors <= FEW_FACTORS else evaluate
    return known, attrs.evolve(judge, given_others=one_by_one(both, known))


def _spread(cost: Tensor) -> Tensor:
    """The standard deviation of the finite costs (B, C) of each world, or zero: (B, 1)."""
    finite = torch.where(torch.isfinite(cost), cost, torch.nan)
    centred = finite - finite.nanmean(-1, keepdim=True)
    spread: Tensor = centred.square().nanmean(-1, keepdim=True).sqrt().nan_to_num(0.0)
    return spread
