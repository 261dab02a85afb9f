"""Whole-sampler methods: they rank or weigh complete samples of the base policies."""

from __future__ import annotations

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.composition.levels import at_levels_of, check_levels
from codi_core.composition.plan_cost import make_evaluate
from codi_core.costs import CostFunction
from codi_core.errors import SpecificationError
from codi_core.guidance import sample_weights
from codi_core.planning import (
    ChunkLayout,
    Denoiser,
    Descent,
    Evaluate,
    Pace,
    Plan,
    PlanContext,
    Planner,
)
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.policies import ProductPolicy, ProductSampler
from codi_core.predictors import Predictor
from codi_core.samplers import (
    ANCESTRAL,
    Sampler,
    Schedule,
    SingleCallSampler,
    Visit,
    level_column,
    sample_checked,
)

PARTS = 4
"""In how many parts :class:`BestOf` draws its samples, if it may have to stop at a deadline."""


def sample_many(
    sampler: Sampler, denoiser: Denoiser, count: int, size: int, context: PlanContext
) -> Tensor:
    """Draw ``count`` samples per world with any sampler, (B, count, size).

    The samples of a world stand side by side in one long chunk, which the sampler takes for one.
    """

    def side_by_side(noisy: Tensor, sigma: Tensor) -> Tensor:
        return denoiser(torch.unflatten(noisy, -1, (count, size)), sigma).flatten(1)

    drawn_together = sample_checked(sampler, side_by_side, count * size, context)
    return torch.unflatten(drawn_together, -1, (count, size))


@attrs.frozen(eq=False)
class BestOf(Planner):
    """The cheapest of M samples of the product policy: M rollouts per plan, no guidance.

    A plan with a deadline draws them in parts, and stops where no time is left for another one.

    Attributes:
        product: the product of the base policies (Eq. 13).
        sampler: draws the samples.
        predictor: foresees what joint actions lead to.
        cost: J(s, a) on the predicted trajectory.
        samples: M.
        student: draws the samples instead of the sampler.
    """

    product: ProductPolicy
    sampler: Sampler
    predictor: Predictor
    cost: CostFunction
    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    student: ProductSampler | None = None

    layout: ChunkLayout = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        check_levels(self.product, self.sampler.schedule)

    @layout.default
    def _layout(self) -> ChunkLayout:
        return self.product.layout

    @torch.no_grad()
    def plan(self, context: PlanContext) -> Plan:
        """Draw M samples for each world, and keep the one with the least finite cost."""
        context = at_levels_of(self.sampler.schedule, context)
        with context.diagnostics.stage("plan"):
            denoiser = self.product.denoiser(context.observation)
            evaluate = make_evaluate(self.product, self.predictor, self.cost, context)
            samples, cost = self._draw(denoiser, evaluate, context)
            # Without any finite cost, argmin takes the first sample.
            cheapest = torch.where(torch.isfinite(cost), cost, torch.inf).argmin(-1)
            flat = take(samples, cheapest.unsqueeze(-1))[:, 0]
        return Plan(self.product.decode(flat), flat, context.diagnostics)

    def _draw(
        self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext
    ) -> tuple[Tensor, Tensor]:
        """Samples (B, m, D) and their costs (B, m); m = M, if the deadline leaves time for all."""
        parts = 1 if context.deadline is None else min(PARTS, self.samples)
        pace, samples, costs = Pace(context), [], []
        for part in range(parts):
            count = len(range(part, self.samples, parts))
            samples.append(self._samples(denoiser, count, context))
            costs.append(evaluate(samples[-1]))
            if part + 1 < parts and pace.fits() < 1:
                pace.shorten()
                break
        return torch.cat(samples, 1), torch.cat(costs, 1)

    def _samples(self, denoiser: Denoiser, count: int, context: PlanContext) -> Tensor:
        if self.student is not None:
            return self.student.draw(count, context)
        return sample_many(self.sampler, denoiser, count, self.product.size, context)


@attrs.frozen(eq=False)
class Resampling(Planner):
    """M particles denoised side by side and resampled by their expected cost (Feynman-Kac).

    At each noise level the cost J_t of a particle's denoised chunk E[a | a_t] is evaluated. Its
    potential is exp(-(J_t - J_t')/λ), with the cost J_t' when it was last resampled; the product
    of the potentials along a lineage is exp(-J_0/λ). So the last particles, weighed by what is
    left, stand for π of Eq. 7 as M grows, while resampling on the way saves them from dying out
    at the end. One of them is drawn. M rollouts a denoising step, as the paper's estimator.

    Attributes:
        product: the product of the base policies (Eq. 13).
        schedule: the noise levels.
        predictor: foresees what joint actions lead to.
        cost: J(s, a) on the predicted trajectory.
        samples: M.
        temperature: λ of Eq. 6.
        share: resampling takes place where the effective sample size is below this share of M.
        sampler: takes the steps between the noise levels. They must add noise, or the copies of a
            particle would stay copies.

    Raises:
        SpecificationError: the noise levels leave the base policies' range, or the sampler adds no
            noise.
    """

    product: ProductPolicy
    schedule: Schedule
    predictor: Predictor
    cost: CostFunction
    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    temperature: float = attrs.field(default=TEMPERATURE, validator=validators.gt(0))
    share: float = attrs.field(default=0.5, validator=[validators.ge(0), validators.le(1)])
    sampler: SingleCallSampler = ANCESTRAL

    layout: ChunkLayout = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        check_levels(self.product, self.schedule)
        if not self.sampler.stochastic:
            raise SpecificationError(
                f"{self.sampler} adds no noise: copies of a resampled particle would stay copies; "
                "take one that does, such as an ancestral one"
            )

    @layout.default
    def _layout(self) -> ChunkLayout:
        return self.product.layout

    @torch.no_grad()
    def plan(self, context: PlanContext) -> Plan:
        """Denoise and resample M particles for each world, and draw one."""
        context = at_levels_of(self.schedule, context)
        with context.diagnostics.stage("plan"):
            denoiser = self.product.denoiser(context.observation)
            evaluate = make_evaluate(self.product, self.predictor, self.cost, context)
            flat = self._denoise(denoiser, evaluate, context)
        return Plan(self.product.decode(flat), flat, context.diagnostics)

    def _denoise(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Tensor:
        noise = context.noise
        levels = self.schedule.levels(noise.device)
        noisy = levels[0] * noise.normal(self.samples, self.product.size)
        paid = torch.zeros(noisy.shape[:2], dtype=torch.float64, device=noise.device)
        before: Visit | None = None
        descent = Descent(levels, context)
        for sigma in descent:
            denoised = denoiser(noisy, sigma)
            cost = evaluate(denoised).double()
            after = descent.after()
            weights = sample_weights(cost, self.temperature, paid / self.temperature)
            size = weights.effective_sample_size()
            context.diagnostics.record("effective_sample_size", size)
            # Worlds in which no particle has a finite cost keep all of theirs.
            due = weights.usable & (size < self.share * self.samples)
            parents = systematic(weights.tilted, noise.uniform(1))
            if descent.ended:
                return take(denoised, drawn(weights.tilted, noise.uniform(1)))[:, 0]
            themselves = torch.arange(self.samples, device=noise.device).expand_as(parents)
            parents = torch.where(due.unsqueeze(-1), parents, themselves)
            paid = torch.where(due.unsqueeze(-1), cost.gather(1, parents), paid)
            now = survivors(Visit(noisy, denoised, level_column(sigma, noisy)), parents)
            # A sampler that looks back must see what a particle's own forebear saw.
            before = None if before is None else survivors(before, parents)
            noisy = self.sampler.step(now, before, level_column(after, noisy), noise)
            before = now
        raise AssertionError("a schedule ends at zero")


def take(samples: Tensor, indices: Tensor) -> Tensor:
    """The samples (B, M, D) at (B, n) indices, (B, n, D)."""
    return samples.gather(1, indices.unsqueeze(-1).expand(-1, -1, samples.shape[-1]))


def survivors(visit: Visit, parents: Tensor) -> Visit:
    """What the particles have behind them whose parents are given, (B, M)."""
    return Visit(take(visit.noisy, parents), take(visit.denoised, parents), visit.sigma)


def systematic(weights: Tensor, uniform: Tensor) -> Tensor:
    """Indices of M survivors, (B, M): sample m has M·w_m of them, up to one.

    Args:
        weights: normalised, (B, M); all zero gives the last index.
        uniform: one value in [0, 1) a world, (B, 1).
    """
    count = weights.shape[-1]
    places = (torch.arange(count, device=weights.device) + uniform.double()) / count
    return _at(weights, places)


def drawn(weights: Tensor, uniform: Tensor) -> Tensor:
    """One index per world drawn with the weights (B, M), (B, 1)."""
    return _at(weights, uniform.double())


def _at(weights: Tensor, places: Tensor) -> Tensor:
    total = weights.cumsum(-1)
    ends = total * (1 / total[..., -1:].clamp_min(1e-300))
    found = torch.searchsorted(ends.contiguous(), places.contiguous(), right=True)
    return found.clamp_max(weights.shape[-1] - 1)
