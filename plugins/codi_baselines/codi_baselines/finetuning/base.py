"""The interface of methods that fine-tune a policy on what it samples itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import attrs
import torch
from torch import Tensor

from codi_core.planning import Evaluate, Observation
from codi_core.policies import Batch, DiffusionPolicy
from codi_core.policies.diffusion import denoising_loss

ACTIONS = "actions"
"""The name under which lessons hold flat chunks, normalised."""


@attrs.frozen(eq=False)
class Lessons:
    """What is learnt in S states: m examples in each, drawn by their weights.

    Attributes:
        weights: (S, m), not negative. A state without any is left out.
        values: what the method's loss reads, named tensors (S, m, ...).
    """

    weights: Tensor
    values: Mapping[str, Tensor]


@attrs.frozen(eq=False)
class Examples:
    """A batch of n examples.

    Attributes:
        observation: what the policy sees, named tensors (n, H, ...).
        values: those of :class:`Lessons`, (n, ...).
    """

    observation: Observation
    values: Mapping[str, Tensor]


class FineTuning(ABC):
    """How a policy is made better: what is learnt from its samples, and by which loss.

    Attributes:
        memory: numbers that the method keeps from one time to the next; they are saved with the
            training.
    """

    memory: dict[str, float]

    @abstractmethod
    def lessons(self, samples: Tensor, evaluate: Evaluate, generator: torch.Generator) -> Lessons:
        """What is learnt from samples of the current policy.

        Args:
            samples: flat chunks, normalised, (S, M, D).
            evaluate: J of flat chunks in these S states, (S, m, D) -> (S, m).
            generator: of all that is drawn.
        """

    @abstractmethod
    def loss(self, policy: DiffusionPolicy, batch: Examples, generator: torch.Generator) -> Tensor:
        """The loss of a batch of examples, ()."""


def imitation_loss(policy: DiffusionPolicy, batch: Examples, generator: torch.Generator) -> Tensor:
    """The denoising loss (Eq. 4) towards chunks that were drawn by weight, ().

    A chunk that is drawn w times as often counts as much as a loss with the weight w (Eq. 52),
    and no step is spent on chunks of no weight.
    """
    action = policy.spec.action
    chunks = torch.unflatten(batch.values[ACTIONS], -1, (action.horizon, action.dimension))
    return denoising_loss(
        policy, Batch(batch.observation, policy.normaliser.decode(chunks)), generator
    )
