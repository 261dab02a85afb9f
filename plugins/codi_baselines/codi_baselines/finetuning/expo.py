"""Expressive policy optimisation, Eq. 56-57 (Dong et al., 2025)."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_baselines.finetuning.base import ACTIONS, Examples, FineTuning, Lessons, imitation_loss
from codi_core.composition.particles import take
from codi_core.guidance import sample_weights
from codi_core.planning import Evaluate
from codi_core.policies import DiffusionPolicy


@attrs.frozen(eq=False)
class EditAndDistil(FineTuning):
    """Edits samples towards lower costs, and distils the best of edited and unedited ones.

    Each sample is edited by MPPI: the mean of ``edits`` Gaussian perturbations, weighted by
    exp(-J/λ) (Eq. 57). All M samples of a state and their M edited versions compete; the cheapest
    is what the policy is to imitate there (Eq. 56).

    Attributes:
        temperature: λ.
        edits: how many perturbations an edit is made of.
        edit_scale: their standard deviation, in units of normalised actions: Σ = scale² I.
        memory: nothing.
    """

    temperature: float
    edits: int
    edit_scale: float
    memory: dict[str, float] = attrs.field(factory=dict)

    def lessons(self, samples: Tensor, evaluate: Evaluate, generator: torch.Generator) -> Lessons:
        """The winner of each state, (S, 1, D)."""
        edited = samples + self.edit(samples, evaluate, generator)
        candidates = torch.cat([samples, edited], 1)
        cost = evaluate(candidates)
        known = torch.where(torch.isfinite(cost), cost, torch.inf)
        winner = known.argmin(-1, keepdim=True)
        weights = torch.isfinite(known.gather(1, winner)).float()
        return Lessons(weights, {ACTIONS: take(candidates, winner)})

    def edit(self, samples: Tensor, evaluate: Evaluate, generator: torch.Generator) -> Tensor:
        """What MPPI adds to each sample (Eq. 57), (S, M, D) -> (S, M, D)."""
        states, count, size = samples.shape
        noise = samples.new_empty(states, count, self.edits, size).normal_(generator=generator)
        edits = self.edit_scale * noise
        cost = evaluate((samples.unsqueeze(2) + edits).flatten(1, 2))
        weights = sample_weights(cost.view(states * count, self.edits), self.temperature)
        shares = weights.tilted.view(states, count, self.edits).to(edits)
        return torch.einsum("sme,smed->smd", shares, edits)

    def loss(self, policy: DiffusionPolicy, batch: Examples, generator: torch.Generator) -> Tensor:
        """Eq. 56, ()."""
        return imitation_loss(policy, batch, generator)
