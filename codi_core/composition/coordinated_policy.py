"""The composition: π(a | s) ∝ exp(-J(s, a)/λ) Π_i p^{(i)}(a^{(i)} | s^{(i)}), Eq. 7."""

from __future__ import annotations

import torch

from codi_core.composition.levels import at_levels_of, check_levels
from codi_core.composition.plan_cost import make_evaluate
from codi_core.costs import CostFunction
from codi_core.guidance import Guidance, guide_checked
from codi_core.planning import Plan, PlanContext, Planner, prepare
from codi_core.policies import ProductPolicy
from codi_core.predictors import Predictor
from codi_core.samplers import Sampler, sample_checked


class CoordinatedPolicy(Planner):
    """Samples joint chunks from Eq. 7 by integrating Eq. 11 with the score of Eq. 12.

    Args:
        product: the product of the base policies (Eq. 13).
        guidance: the estimate of the guidance score (Eq. 14-19).
        sampler: the integrator of the reverse-time SDE (Eq. 11).
        predictor: foresees what joint actions lead to.
        cost: J(s, a) on the predicted trajectory.

    Raises:
        SpecificationError: the sampler's noise levels leave the base policies' range.
    """

    def __init__(
        self,
        product: ProductPolicy,
        guidance: Guidance,
        sampler: Sampler,
        predictor: Predictor,
        cost: CostFunction,
    ) -> None:
        check_levels(product, sampler.schedule)
        self.product = product
        self.layout = product.layout
        self.guidance = guidance
        self.sampler = sampler
        self.predictor = predictor
        self.cost = cost

    @torch.no_grad()
    def plan(self, context: PlanContext) -> Plan:
        """Plan one joint chunk for each of B worlds."""
        context = at_levels_of(self.sampler.schedule, context)
        with context.diagnostics.stage("plan"):
            denoiser = self.product.denoiser(context.observation)
            prepare(denoiser, self.sampler.schedule.levels(context.noise.device)[:-1])
            evaluate = make_evaluate(self.product, self.predictor, self.cost, context)
            guided = guide_checked(self.guidance, denoiser, evaluate, context)
            flat = sample_checked(self.sampler, guided, self.product.size, context)
        return Plan(self.product.decode(flat), flat, context.diagnostics)
