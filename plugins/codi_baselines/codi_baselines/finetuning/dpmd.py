"""Diffusion-policy mirror descent, Eq. 50-52 (Ma et al., 2025)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_baselines.finetuning.base import ACTIONS, Examples, FineTuning, Lessons, imitation_loss
from codi_core.guidance import sample_weights
from codi_core.planning import Evaluate
from codi_core.policies import DiffusionPolicy

CLIP = 3.0
"""How many spreads a normalised cost may be from the mean."""

RATE = 0.1
"""How fast the running mean and spread of the costs follow."""


@attrs.frozen(eq=False)
class MirrorDescent(FineTuning):
    """Learns π ∝ π_old exp(-J/λ) from samples of π_old, weighted by exp(-J/λ) (Eq. 51-52).

    The weights are normalised over the samples of each state, in the log domain.

    Attributes:
        temperature: λ.
        normalise: None, or what costs are divided by instead of λ after their running mean and
            spread have been taken out and they have been clipped to ±3. So does the authors' code,
            but for the order of subtraction and division, which is wrong there.
        memory: the running mean and spread.
    """

    temperature: float
    normalise: float | None = None
    memory: dict[str, float] = attrs.field(factory=dict)

    def lessons(self, samples: Tensor, evaluate: Evaluate, generator: torch.Generator) -> Lessons:
        """The samples (S, M, D), with their weights."""
        cost = evaluate(samples)
        if self.normalise is None:
            weights = sample_weights(cost, self.temperature)
        else:
            weights = sample_weights(self._normalised(cost), self.normalise)
        return Lessons(weights.tilted.float(), {ACTIONS: samples})

    def loss(self, policy: DiffusionPolicy, batch: Examples, generator: torch.Generator) -> Tensor:
        """Eq. 52 on samples that were drawn by their weights, ()."""
        return imitation_loss(policy, batch, generator)

    def _normalised(self, cost: Tensor) -> Tensor:
        """Costs (S, M) without their running mean and spread; they follow these costs first."""
        finite = cost[torch.isfinite(cost)].double()
        if len(finite):
            self._follow("mean", float(finite.mean()))
            self._follow("spread", float(finite.std(correction=0).clamp_min(1e-9)))
        excess = (cost - self.memory.get("mean", 0.0)) / self.memory.get("spread", 1.0)
        return torch.where(torch.isfinite(cost), excess.clamp(-CLIP, CLIP), cost)

    def _follow(self, name: str, value: float) -> None:
        before = self.memory.get(name, value)
        self.memory[name] = before + RATE * (value - before)
