"""Selection agent by agent: blocked iterated importance resampling.

The product of the base policies needs no joint samples: C chunks of each of F factors stand for
C^F joint ones. One of these is drawn by Gibbs sampling: given the others' chunks, a factor's chunk
is drawn among its C candidates with the weights exp(-J/λ).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import attrs
import torch
from torch import Tensor

from codi_core.composition.particles import drawn
from codi_core.composition.recombination import RecombiningEvaluate
from codi_core.costs import CostTerms
from codi_core.guidance import sample_weights
from codi_core.guidance.factored import near_cost
from codi_core.planning import ChunkLayout, Evaluate, Pace, PlanContext
from codi_core.resources import can_branch_on, indices

MOST_TURNS = 24
"""So many turns a sweep has at most where some factors move at once. A factor whose turn would come
later keeps its candidate in that sweep."""

FEW_FACTORS = 3
"""So few that to judge all combinations of two chunks takes no more rollouts than their turns."""


@attrs.frozen(eq=False)
class Candidates:
    """C chunks of each factor, in the rows of C joint chunks.

    Attributes:
        rows: (B, C, D). The columns of a factor in row c are its candidate c.
        layout: whose columns are whose.
    """

    rows: Tensor
    layout: ChunkLayout

    @property
    def factors(self) -> int:
        """F."""
        return len(self.layout.blocks)

    def chosen(self, numbers: Tensor) -> Tensor:
        """The joint chunks (B, D) of one candidate a factor, by their numbers (B, F)."""
        return self.rows.gather(1, self._columns(numbers).unsqueeze(1)).squeeze(1)

    def varied(self, numbers: Tensor, moving: Tensor) -> Tensor:
        """All candidates of some factors beside the chosen one of the others, (B, C, D).

        Args:
            numbers: the chosen candidates, (B, F).
            moving: the factors that are varied, booleans (B, F).
        """
        fixed = self.chosen(numbers).unsqueeze(1)
        return torch.where(self._columns(moving).unsqueeze(1), self.rows, fixed)

    def _columns(self, values: Tensor) -> Tensor:
        """From one value a factor, (B, F), to one a column, (B, D)."""
        # Repeating by a tensor of counts would wait for a device.
        each = zip(values.unbind(-1), self.layout.blocks, strict=True)
        columns = [one.unsqueeze(-1).expand(-1, block.stop - block.start) for one, block in each]
        return torch.cat(columns, -1)


GivenOthers = Callable[[Tensor, Tensor], Tensor]
"""See :class:`Judge`."""


@attrs.frozen(eq=False)
class Judge:
    """Who judges the candidates of a factor, given what the others do.

    Attributes:
        neighbours: which factors a term of the cost involves together, and each one itself:
            symmetric booleans (B, F, F). All are where the cost does not say.
        given_others: what all candidates of some factors cost, beside the chosen one of the
            others: from the numbers (B, F) of these and from which factors vary (B, F), no two
            neighbours among them, to (B, F, C), or to (B, 1, C) for all factors. It lacks what does
            not concern a factor, and for one that does not vary it means nothing.
        local: whether some factors may share no term. Else they move one by one.
    """

    neighbours: Tensor
    given_others: GivenOthers
    local: bool = True

    def coupling(self) -> Tensor:
        """How many others a factor has as neighbours, on average, (B,)."""
        return self.neighbours.sum(-1).float().mean(-1) - 1


def judged(candidates: Candidates, evaluate: Evaluate) -> tuple[Tensor, Judge]:
    """J of the rows, (B, C), and the judge for any cost: J itself, and factors move one by one."""
    cost = evaluate(candidates.rows)
    shape = (len(cost), candidates.factors, candidates.factors)
    everybody = torch.ones(shape, dtype=torch.bool, device=cost.device)
    return cost, Judge(everybody, one_by_one(candidates, evaluate), local=False)


def one_by_one(candidates: Candidates, evaluate: Evaluate) -> GivenOthers:
    """J itself, the same for all factors."""
    return lambda numbers, moving: evaluate(candidates.varied(numbers, moving)).unsqueeze(1)


def locally_judged(candidates: Candidates, evaluate: RecombiningEvaluate) -> tuple[Tensor, Judge]:
    """The same for a local cost: a factor's own terms, and those that share none move at once."""
    terms, given_others = _known_apart(candidates, evaluate)
    if terms is None:
        terms = evaluate.terms(candidates.rows)
    judge = Judge(_neighbours(terms, candidates.layout), given_others)
    return terms.total(), judge


def at_once(candidates: Candidates, evaluate: RecombiningEvaluate) -> GivenOthers:
    """The terms that concern each factor."""
    return _known_apart(candidates, evaluate)[1]


def _known_apart(
    candidates: Candidates, evaluate: RecombiningEvaluate
) -> tuple[CostTerms | None, GivenOthers]:
    """How the terms near each factor are known, and those of the rows if it takes these.

    A separable predictor is asked once. Else all is predicted and judged again at each turn.
    """
    layout = candidates.layout
    known = evaluate.recombination(candidates.rows)
    if known is None:
        return None, lambda numbers, moving: near_cost(
            evaluate.terms(candidates.varied(numbers, moving)), 0, layout
        )
    own = None if known.own is None else near_cost(known.own, 0, layout)
    factor = _factor_of_agents(layout.agents, candidates.rows.device)

    def given_others(numbers: Tensor, moving: Tensor) -> Tensor:
        shared = known.beside(numbers[:, factor], moving[:, factor])
        if shared is None:
            assert own is not None
            return own
        near = near_cost(shared, 0, layout)
        return near if own is None else near + own

    return known.terms, given_others


def _neighbours(terms: CostTerms, layout: ChunkLayout) -> Tensor:
    """Which factors a term involves together, (B, F, F)."""
    agents = terms.reached(sum(map(len, layout.agents)), 1).float()
    covers = _covers(layout.agents, agents.device)
    return covers @ agents @ covers.mT > 0


@lru_cache(maxsize=64)  # a copy to a device would wait for all that is queued there
@torch.inference_mode(False)  # it outlives the plan that asks first
def _covers(agents: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    """1 for the agents that a factor covers, else 0: (F, N)."""
    covers = torch.zeros(len(agents), sum(map(len, agents)))
    for factor, members in enumerate(agents):
        covers[factor, list(members)] = 1.0
    return covers.to(device)


def _factor_of_agents(agents: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    """The number of the factor that covers each agent, (N,)."""
    covering = {agent: factor for factor, members in enumerate(agents) for agent in members}
    return indices(tuple(covering[agent] for agent in range(len(covering))), device)


@attrs.frozen(eq=False)
class Combinations:
    """What all combinations of two joint chunks cost, factor by factor, judged at once.

    Each call of a predictor takes its time, however few the chunks.

    Attributes:
        first: (B, D), the chunk that a factor has whose bit is zero.
        blocks: the columns of each of F factors.
        costs: (B, 2^F), by the sum of the factors' bits, 2^f for factor f.
    """

    first: Tensor
    blocks: tuple[slice, ...]
    costs: Tensor

    @classmethod
    def of(cls, both: Candidates, evaluate: Evaluate) -> Combinations:
        """Judge them.

        Args:
            both: two rows, (B, 2, D).
            evaluate: J.
        """
        worlds, device = len(both.rows), both.rows.device
        numbers = torch.arange(2**both.factors, device=device)
        bits = [(numbers // 2**factor) % 2 for factor in range(both.factors)]
        each = torch.stack(bits, -1).expand(worlds, -1, -1)
        rows = torch.stack([both.chosen(chosen) for chosen in each.unbind(1)], 1)
        return cls(both.rows[:, 0], both.layout.blocks, evaluate(rows))

    def __call__(self, flat: Tensor) -> Tensor:
        """J of some of the combinations, from (B, C, D) to (B, C)."""
        first = self.first.unsqueeze(1)
        number = torch.zeros_like(flat[..., 0], dtype=torch.int64)
        for factor, block in enumerate(self.blocks):
            number += 2**factor * (flat[..., block] != first[..., block]).any(-1)
        return self.costs.gather(1, number)


def draw_row(cost: Tensor, temperature: float, context: PlanContext) -> Tensor:
    """The number of a row, drawn with the weights exp(-J/λ) from J (B, C): (B, 1).

    Without any finite cost it is the last one.
    """
    return drawn(sample_weights(cost, temperature).tilted, context.noise.uniform(1))


def select(
    candidates: Candidates,
    numbers: Tensor,
    judge: Judge,
    temperature: float,
    sweeps: int,
    context: PlanContext,
) -> Tensor:
    """Draw one joint chunk out of the candidates by Gibbs sampling, (B, D).

    The factors take turns, ``sweeps`` times, in an order that is random in each world; those that
    have no cost in common take theirs at once.

    Let the candidates be independent samples of the base policies, but for one row that was drawn
    from π of Eq. 7, and let the first choices be that row, or drawn by :func:`draw_row`. Then what
    is selected has the distribution π, for any C and number of sweeps: candidates and choices
    together have the density Π p(candidates) exp(-J(chosen)/λ), up to a factor, and each draw is
    from one of its conditionals. Without such a row, π is approached as C grows.

    Args:
        candidates: what is drawn from.
        numbers: the first choices, (B, F). Where no candidate of a factor has a finite cost, it
            stays as it is.
        judge: says what the candidates cost.
        temperature: λ of Eq. 6.
        sweeps: how many turns each factor has.
        context: the plan. With a deadline there are fewer turns if there is no time for all.
    """
    noise, factors, pace = context.noise, candidates.factors, Pace(context)
    # All noise is drawn at once: a world has the same one, however many turns others take.
    places = noise.uniform(sweeps, factors, 1)
    order = noise.uniform(sweeps, factors).argsort(-1)
    for sweep in range(sweeps):
        turns = take_turns(judge.neighbours, order[:, sweep])
        for turn in range(_count(turns, judge.local)):
            if pace.fits() < 1:
                pace.shorten()
                return candidates.chosen(numbers)
            moving = turns == turn
            cost = judge.given_others(numbers, moving)
            weights = sample_weights(cost, temperature)
            found = drawn(weights.tilted.expand(-1, factors, -1), places[:, sweep]).squeeze(-1)
            numbers = torch.where(moving & weights.usable, found, numbers)
    return candidates.chosen(numbers)


def _count(turns: Tensor, local: bool) -> int:
    """How many turns (B, F) there are, at most; a device is not waited for."""
    factors = turns.shape[-1]
    if not local:
        return factors
    most = min(factors, MOST_TURNS)
    return min(most, int(turns.max()) + 1) if can_branch_on(turns) else most


def take_turns(neighbours: Tensor, order: Tensor) -> Tensor:
    """The turn at which each factor moves, (B, F): the first one that no neighbour has.

    That is greedy colouring: with at most n other neighbours each, n + 1 turns are enough.

    Args:
        neighbours: symmetric booleans, (B, F, F).
        order: the factors in the order in which they choose their turns, (B, F).
    """
    # taken[b, t, f]: a neighbour of f has turn t. To assign by index would wait for a device.
    taken, turns = torch.zeros_like(neighbours), torch.zeros_like(order)
    across = (-1, 1, neighbours.shape[-1])
    for factor in torch.split(order, 1, -1):
        own = factor.unsqueeze(-1).expand(across)
        turn = taken.gather(-1, own.mT).int().argmin(1)
        turns.scatter_(-1, factor, turn)
        row = turn.unsqueeze(-1).expand(across)
        taken.scatter_(1, row, taken.gather(1, row) | neighbours.gather(1, own))
    return turns
