"""CoDi-Indep. (Sec. VII-C): each agent is guided on its own, as if the others stood still."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.composition import CoordinatedPolicy
from codi_core.costs import require_locality
from codi_core.errors import SpecificationError
from codi_core.guidance import FactoredGuidance, Guidance, MonteCarloGuidance, sample_weights
from codi_core.guidance.factored import block_shift
from codi_core.host.records import MethodParts
from codi_core.planning import Denoiser, Evaluate, LocalEvaluate, PlanContext, Planner
from codi_core.policies import ProductPolicy
from codi_core.posteriors import PosteriorApproximation, PosteriorQuery, draw_checked
from codi_core.tasks.task import Hold


@attrs.frozen(eq=False)
class IndependentGuidance(Guidance):
    """t² g^J of Eq. 17 for each agent alone.

    Agent i weighs M samples of its own chunk by softmax(-J_i/λ): J_i is the sum of the cost's terms
    that involve i, where i does what the sample says and all others hold still. So nothing that one
    agent draws or wants reaches another.

    Attributes:
        product: the base policies, one agent each.
        hold: how agents stand still.
        posterior: draws noise-free samples given a_t (Eq. 16).
        samples: M. A denoising step costs N·M rollouts for N agents.
        temperature: λ of Eq. 6.
    """

    product: ProductPolicy
    hold: Hold
    posterior: PosteriorApproximation
    samples: int
    temperature: float

    def guide(self, denoiser: Denoiser, evaluate: Evaluate, context: PlanContext) -> Denoiser:
        """The denoiser whose blocks are guided apart."""
        assert isinstance(evaluate, LocalEvaluate)
        still = self._still(context)

        def guided(noisy: Tensor, sigma: Tensor) -> Tensor:
            with context.diagnostics.stage("denoise"):
                denoised = denoiser(noisy, sigma)
            with context.diagnostics.stage("draw"):
                query = PosteriorQuery(noisy, sigma, denoised, denoiser, context)
                drawn = draw_checked(self.posterior, query, self.samples)
            cost = self._own_cost(drawn.samples, still, evaluate)
            log_weights = drawn.log_weights
            if log_weights is not None:
                log_weights = log_weights.unsqueeze(1).expand_as(cost)
            weights = sample_weights(cost, self.temperature, log_weights)
            size = weights.effective_sample_size().mean(-1)
            context.diagnostics.record("effective_sample_size", size)
            return denoised + block_shift(drawn.samples, weights, context.layout.blocks)

        return guided

    def _still(self, context: PlanContext) -> Tensor:
        """The flat joint chunk (B, D) with which all agents stand still."""
        horizon = context.layout.horizon
        actions = self.hold(context.state)
        return self.product.encode([a.unsqueeze(1).expand(-1, horizon, -1) for a in actions])

    def _own_cost(self, samples: Tensor, still: Tensor, evaluate: LocalEvaluate) -> Tensor:
        """J_i of each agent's samples, (B, N, M), from (B, M, D); one call for all agents."""
        blocks, count = self.product.blocks, samples.shape[1]
        alone = still[:, None, None].repeat(1, len(blocks), count, 1)
        for agent, block in enumerate(blocks):
            alone[:, agent, :, block] = samples[..., block]
        own = evaluate.terms(alone.flatten(1, 2)).involving(len(blocks))
        each = torch.unflatten(own, -1, (len(blocks), count))  # (B, N, N, M)
        return each.diagonal(dim1=1, dim2=2).movedim(-1, 1)


def codi_indep(parts: MethodParts) -> Planner:
    """The planner of ``--method codi-indep``.

    Raises:
        SpecificationError: the task does not say how its agents stand still, a base policy covers
            several agents, or the guidance is not the paper's estimator.
        LocalityError: the cost does not say which agents its terms involve.
    """
    require_locality(parts.cost)
    if parts.hold is None:
        raise SpecificationError("method 'codi-indep' needs a task whose parts have `hold`")
    if any(factor.agents != (i,) for i, factor in enumerate(parts.product.factors)):
        raise SpecificationError(
            "method 'codi-indep' guides each agent on its own, so it needs one base policy an "
            "agent: leave --policy out"
        )
    # Of either only the posterior is needed: each agent's samples are weighed on their own here.
    if not isinstance(parts.guidance, MonteCarloGuidance | FactoredGuidance):
        raise SpecificationError(
            "method 'codi-indep' takes the paper's estimator: give --guidance monte-carlo"
        )
    guidance = IndependentGuidance(
        parts.product,
        parts.hold,
        parts.guidance.posterior,
        parts.samples,
        parts.temperature,
    )
    return CoordinatedPolicy(parts.product, guidance, parts.sampler, parts.predictor, parts.cost)
