"""Batches that come from the policy in training, which is sampled now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from codi_baselines.finetuning.base import Examples, FineTuning, Lessons
from codi_baselines.finetuning.rollouts import Rollouts
from codi_core.errors import CodiError
from codi_core.planning import Observation
from codi_core.policies import DiffusionPolicy


@attrs.frozen
class Collecting:
    """How often the current policy is sampled, and how much.

    Attributes:
        refresh: batches between two times.
        states: S, demonstrated states at a time.
        samples: M, samples of the policy in each.
        kept: how many times' lessons are learnt from.
    """

    refresh: int
    states: int
    samples: int
    kept: int = 1


@attrs.frozen(eq=False)
class _Collected:
    """What one time has brought.

    Attributes:
        observation: what the policy saw, named tensors (S, H, ...).
        lessons: what is learnt there.
    """

    observation: Observation
    lessons: Lessons


class OnPolicySource:
    """Examples made of what the policy in training samples, as its averaged weights make it.

    Every ``refresh`` batches the policy is sampled in demonstrated states and its samples are
    rolled out. Everything random derives from the generator that the trainer gives, and what has
    been collected is part of the saved state: a training that was stopped, or killed while
    collecting, goes on to the same bits.

    Args:
        rollouts: where the policy is sampled.
        method: what is learnt from it.
        collecting: how often and how much.
    """

    def __init__(self, rollouts: Rollouts, method: FineTuning, collecting: Collecting) -> None:
        self.rollouts = rollouts
        self.method = method
        self.collecting = collecting
        self.rolled_out = 0
        self._batches = 0
        self._collected: list[_Collected] = []
        self._policy: DiffusionPolicy | None = None

    def follow(self, averaged: nn.Module) -> None:
        """Sample this policy, which training changes in place."""
        assert isinstance(averaged, DiffusionPolicy)
        self._policy = averaged

    def sample(self, generator: torch.Generator, size: int) -> Examples:
        """Draw a batch, after collecting anew if it is time to.

        Raises:
            CodiError: no sample has a finite cost.
        """
        if self._batches % self.collecting.refresh == 0:
            self._collect(generator)
        self._batches += 1
        return self._drawn(generator, size)

    def state(self) -> dict[str, Any]:
        """What has been collected, and when it is to be collected anew."""
        return {
            "batches": self._batches,
            "rollouts": self.rolled_out,
            "memory": dict(self.method.memory),
            "collected": [
                {
                    "observation": dict(part.observation),
                    "weights": part.lessons.weights,
                    "values": dict(part.lessons.values),
                }
                for part in self._collected
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved :meth:`state`."""
        self._batches, self.rolled_out = state["batches"], state["rollouts"]
        self.method.memory.clear()
        self.method.memory.update(state["memory"])
        self._collected = [
            _Collected(part["observation"], Lessons(part["weights"], part["values"]))
            for part in state["collected"]
        ]

    @torch.no_grad()
    def _collect(self, generator: torch.Generator) -> None:
        assert self._policy is not None
        settings, device = self.collecting, generator.device
        total = len(self.rollouts.recorded)
        rows = torch.randint(total, (settings.states,), generator=generator, device=device).cpu()
        seed = int(torch.randint(2**31, (), generator=generator, device=device))
        start = self.rollouts.at(rows, seed)
        samples = start.draw(self._policy, settings.samples)
        lessons = self.method.lessons(samples, start.evaluate, generator)
        self.rolled_out += start.count
        usable = lessons.weights.sum(-1) > 0
        if not bool(usable.any()):
            raise CodiError(
                f"none of the {samples[..., 0].numel()} samples of the policy has a finite cost: "
                "look at the cost, or at the predictor"
            )
        found = _Collected(_of(start.observation, usable), _lessons_of(lessons, usable))
        self._collected = [*self._collected, found][-settings.kept :]

    def _drawn(self, generator: torch.Generator, size: int) -> Examples:
        """Examples from all that is kept: states evenly, and those of a state by their weights."""
        sizes = [len(part.lessons.weights) for part in self._collected]
        device = self.rollouts.product.device
        place = torch.randint(sum(sizes), (size,), generator=generator, device=device)
        weights = torch.cat([part.lessons.weights for part in self._collected])[place]
        pick = torch.multinomial(weights, 1, generator=generator).squeeze(-1)
        observation = _joined([part.observation for part in self._collected])
        values = _joined([part.lessons.values for part in self._collected])
        return Examples(
            {name: value[place] for name, value in observation.items()},
            {name: value[place, pick] for name, value in values.items()},
        )


def _of(tensors: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in tensors.items()}


def _lessons_of(lessons: Lessons, rows: Tensor) -> Lessons:
    return Lessons(lessons.weights[rows], _of(lessons.values, rows))


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
