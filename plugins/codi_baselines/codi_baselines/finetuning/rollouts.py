"""Samples of a policy in recorded states, and what they cost."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_baselines.demonstrations import RecordedStates, plans_in
from codi_core.composition import make_evaluate
from codi_core.composition.particles import sample_many
from codi_core.costs import CostFunction
from codi_core.guidance.weights import finite_mean
from codi_core.planning import Evaluate, Observation, PlanContext
from codi_core.planning.noise import stream
from codi_core.policies import BasePolicy, ProductPolicy
from codi_core.predictors import Predictor
from codi_core.samplers import Sampler

STREAM = stream("codi-baselines fine-tuning")


@attrs.frozen(eq=False)
class RolledOut:
    """S recorded states that a policy is sampled and its samples are rolled out in.

    Attributes:
        context: a plan in each of them.
        observation: what the policy sees there, named tensors (S, H, ...).
        evaluate: J of flat chunks there, (S, M, D) -> (S, M).
        sampler: draws the policy's samples.
    """

    context: PlanContext
    observation: Observation
    evaluate: Evaluate
    sampler: Sampler

    def draw(self, policy: BasePolicy, samples: int) -> Tensor:
        """Draw M = ``samples`` chunks of the policy in each state, (S, M, D)."""
        size, denoiser = self.context.layout.size, policy.denoiser(self.observation)
        return sample_many(self.sampler, denoiser, samples, size, self.context)

    @property
    def count(self) -> int:
        """How many rollouts there were."""
        return self.context.diagnostics.counts.get("rollouts", 0)


@attrs.frozen(eq=False)
class Rollouts:
    """Where a policy is sampled, and what says what its samples cost.

    Attributes:
        recorded: the states.
        product: the joint base policy, as the one factor of a product.
        predictor: foresees what chunks lead to.
        cost: J(s, a) on the predicted trajectory.
        sampler: draws samples.
    """

    recorded: RecordedStates
    product: ProductPolicy
    predictor: Predictor
    cost: CostFunction
    sampler: Sampler

    def at(self, rows: Tensor, seed: int) -> RolledOut:
        """Begin in these recorded states (S,), with noise that derives from a seed."""
        factor = self.product.factors[0]
        context = plans_in(self.recorded, rows, self.product, (seed, STREAM))
        recent = slice(-factor.policy.spec.history, None)
        joint = factor.observe(context.observation)
        seen = {name: value[:, recent] for name, value in joint.items()}
        evaluate = make_evaluate(self.product, self.predictor, self.cost, context)
        return RolledOut(context, seen, evaluate, self.sampler)


@attrs.frozen(eq=False)
class ExpectedCost:
    """E[J] of a policy, always in the same states and with the same noise.

    Attributes:
        rollouts: where the states are.
        states: how many of them, drawn once.
        samples: M, samples in each.
        seed: of states and noise.
    """

    rollouts: Rollouts
    states: int
    samples: int
    seed: int

    @torch.no_grad()
    def __call__(self, policy: BasePolicy) -> float:
        """The mean over states of the mean of the finite costs."""
        generator = torch.Generator().manual_seed(self.seed)
        count = len(self.rollouts.recorded)
        rows = torch.randint(count, (self.states,), generator=generator)
        start = self.rollouts.at(rows, self.seed)
        return float(finite_mean(start.evaluate(start.draw(policy, self.samples))).mean())
