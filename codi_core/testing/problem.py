"""Composition problems whose solution is known, and the contexts to plan them in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import attrs
import torch
from torch import Tensor

from codi_core.composition import CoordinatedPolicy
from codi_core.execution.devices import to_device
from codi_core.guidance import Guidance
from codi_core.planning import Denoiser, Evaluate, NoiseSource, PlanContext
from codi_core.policies import ProductPolicy
from codi_core.predictors import Predictor
from codi_core.samplers import KarrasSchedule, Sampler
from codi_core.testing.costs import PassThroughPredictor, QuadraticCost
from codi_core.testing.oracle import FactoredOracle, Oracle
from codi_core.testing.policies import MixturePolicy, conditioned_product, mixture_product


@attrs.define(slots=False, eq=False)
class Problem:
    """Base policies, a cost and a temperature, with the exact solution beside them.

    The cost acts on normalised flat joint chunks, so it needs identity normalisers, and one
    agent per factor in order.

    Attributes:
        policies: one base policy per agent; agents may share one.
        cost: J of the flat joint chunk.
        temperature: λ.
        observation: the joint observation of B worlds.
    """

    policies: tuple[MixturePolicy, ...]
    cost: QuadraticCost
    temperature: float = 1.0
    observation: Mapping[str, Tensor] = attrs.field(factory=dict)
    predictor: Predictor = attrs.field(factory=PassThroughPredictor)

    @cached_property
    def product(self) -> ProductPolicy:
        """The product of the base policies."""
        return mixture_product(self.policies)

    @cached_property
    def oracle(self) -> Oracle | FactoredOracle:
        """The exact solution, all mode combinations enumerated."""
        base = conditioned_product(self.product, self.observation)
        return Oracle.of(base, self.cost, self.temperature)

    @property
    def size(self) -> int:
        """D, the number of values in a flat joint chunk."""
        return int(self.product.size)

    def context(self, worlds: int = 1, seed: int = 0, replan: int = 0) -> PlanContext:
        """A context for planning ``worlds`` worlds, numbered from 0."""
        keys = [(seed, world, replan) for world in range(worlds)]
        return self.context_of(keys)

    def context_of(self, keys: Sequence[Sequence[int]]) -> PlanContext:
        """A context for planning one world a (seed, episode, replan) key."""
        # The exact policies know all noise levels; the parts see those that samplers have.
        usual = KarrasSchedule()
        return PlanContext(
            NoiseSource(keys, self.policies[0].mixture.means.device),
            self.observation,
            self.product.layout,
            sigma_range=(usual.sigma_min, usual.sigma_max),
        )

    def to(self, device: torch.device | str) -> Problem:
        """The same problem on another device; agents that share a policy still do."""
        moved = {id(policy): policy.to(device) for policy in self.policies}
        return attrs.evolve(
            self,
            policies=tuple(moved[id(policy)] for policy in self.policies),
            cost=to_device(self.cost, device),
            observation=to_device(self.observation, device),
        )

    def denoiser(self) -> Denoiser:
        """The unguided denoiser of the product policy."""
        return self.product.denoiser(self.observation)

    def evaluate(self) -> Evaluate:
        """J of flat joint chunks (B, M, D) -> (B, M), without a context's diagnostics."""
        return self.cost

    def coordinated(self, guidance: Guidance, sampler: Sampler) -> CoordinatedPolicy:
        """The coordinated policy with this guidance and this sampler."""
        return CoordinatedPolicy(self.product, guidance, sampler, self.predictor, self.cost)


def random_covariance(size: int, generator: torch.Generator, spread: float = 1.0) -> Tensor:
    """A well-conditioned covariance (D, D) with a mean variance near spread²."""
    root = torch.randn(size, size, generator=generator, dtype=torch.float64) / math.sqrt(size)
    covariance = root @ root.mT + torch.eye(size, dtype=torch.float64)
    return covariance * (0.5 * spread * spread)
