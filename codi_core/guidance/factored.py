"""Guidance whose variance does not grow with the number of agents: weights block by block."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from attrs import validators
from torch import Tensor

from codi_core.costs import CostTerms
from codi_core.errors import LocalityError
from codi_core.guidance.base import Guidance
from codi_core.guidance.temperature import least_temperature
from codi_core.guidance.weights import SampleWeights, finite_mean, sample_weights
from codi_core.planning import (
    ChunkLayout,
    Denoiser,
    Diagnostics,
    Evaluate,
    LocalEvaluate,
    PlanContext,
)
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.posteriors import PosteriorApproximation, PosteriorQuery, draw_checked


@attrs.frozen
class FactoredGuidance(Guidance):
    """t² g^J (Eq. 17) block by block, with weights from the cost terms near each block's agents.

    Agent i's samples are weighed by softmax(-J_i^(h)/λ) instead of softmax(-J/λ), where J_i^(h) is
    the sum, each term counted in full, of all terms within h hops of i: with h = 0 those that
    involve i, with h = 1 also those that involve a neighbour of i, the neighbour's own included.
    Agents are neighbours where a term involves both. Far terms, which hardly concern i but would
    make the weights uneven, are left out: the estimate is biased by what they would have said, and
    its variance does not grow with the number of agents. Once h hops reach all agents it is
    :class:`MonteCarloGuidance`.

    Attributes:
        posterior: draws noise-free samples given a_t (Eq. 16).
        samples: M, how many are drawn at each denoising step.
        temperature: λ of Eq. 6.
        hops: h. The block of a factor that covers several agents has the terms near any of them.
        ess: see :func:`least_temperature`, for each block on its own; 0 keeps λ as it is.
    """

    posterior: PosteriorApproximation
    samples: int = attrs.field(default=SAMPLES, validator=validators.gt(0))
    temperature: float = attrs.field(default=TEMPERATURE, validator=validators.gt(0))
    hops: int = attrs.field(default=0, validator=[validators.instance_of(int), validators.ge(0)])
    ess: float = attrs.field(default=0.0, validator=[validators.ge(0), validators.lt(1)])

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser whose score is s + g^J (Eq. 12).

        Raises:
            LocalityError: ``evaluate`` has no terms; planners' own has them, if the cost has.
        """
        if not isinstance(evaluate, LocalEvaluate):
            raise LocalityError([type(evaluate).__name__])

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            # Many small tensors are made for many agents, and cheaper without their history.
            with torch.inference_mode():
                denoised, shift = self._step(noisy, sigma, denoiser, evaluate, context)
            return denoised + shift

        return guided

    def _step(
        self,
        noisy: Tensor,
        sigma: Tensor,
        denoiser: Denoiser,
        evaluate: LocalEvaluate,
        context: PlanContext,
    ) -> tuple[Tensor, Tensor]:
        """D(a_t, sigma) and what guidance adds to it, (B, D) each."""
        with context.diagnostics.stage("denoise"):
            denoised = denoiser(noisy, sigma)
        with context.diagnostics.stage("draw"):
            query = PosteriorQuery(noisy, sigma, denoised, denoiser, context)
            drawn = draw_checked(self.posterior, query, self.samples)
        terms = evaluate.terms(drawn.samples)
        cost, log_weights = near_cost(terms, self.hops, context.layout), drawn.log_weights
        if log_weights is not None:
            log_weights = log_weights.unsqueeze(1).expand_as(cost)
        temperature = least_temperature(cost, self.temperature, self.ess, log_weights)
        weights = sample_weights(cost, temperature, log_weights)
        _record(context.diagnostics, terms, weights)
        return denoised, block_shift(drawn.samples, weights, context.layout.blocks)


def near_cost(terms: CostTerms, hops: int, layout: ChunkLayout) -> Tensor:
    """J^(h) of the agents of each of F blocks, (B, F, M)."""
    if all(len(covered) == 1 for covered in layout.agents):
        order = [covered[0] for covered in layout.agents]
        cost = terms.within(len(layout.blocks), hops)
        return cost if order == sorted(order) else cost[:, order]
    groups = {agent: block for block, covered in enumerate(layout.agents) for agent in covered}
    return terms.within(len(groups), hops, [groups[agent] for agent in range(len(groups))])


def block_shift(samples: Tensor, weights: SampleWeights, blocks: Sequence[slice]) -> Tensor:
    """Σ_m (tilted - plain)_m a_m with each block's own weights, from (B, M, D) to (B, D)."""
    difference = weights.difference().to(samples.dtype)  # (B, F, M)
    sizes = [block.stop - block.start for block in blocks]
    if len(set(sizes)) == 1:
        parts = torch.unflatten(samples, -1, (len(blocks), -1)).movedim(2, 1)
        return torch.matmul(difference.unsqueeze(2), parts).flatten(1)
    widths = torch.tensor(sizes, device=difference.device)
    columns = difference.repeat_interleave(widths, 1)
    return (columns * samples.mT).sum(-1)


def _record(diagnostics: Diagnostics, terms: CostTerms, weights: SampleWeights) -> None:
    """Note what the cost did to the samples of one denoising step; means over the blocks."""
    diagnostics.record("effective_sample_size", weights.effective_sample_size().mean(-1))
    diagnostics.record("sample_cost", finite_mean(terms.total()))
    diagnostics.count("unguided_steps", (~weights.usable).any(-1).sum())
