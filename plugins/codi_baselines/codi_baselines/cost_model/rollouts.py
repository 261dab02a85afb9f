"""What chunks cost in the states of demonstrations: rolled out once, before the training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_baselines.cost_model.network import conditioning
from codi_baselines.demonstrations import JointDemonstrations, plans_in
from codi_core.composition import make_evaluate
from codi_core.composition.particles import sample_many
from codi_core.costs import CostFunction
from codi_core.errors import CheckpointError
from codi_core.files.durable import to_json
from codi_core.planning import Diagnostics, PlanContext
from codi_core.planning.noise import stream
from codi_core.predictors import Predictor
from codi_core.samplers import Sampler
from codi_core.training.checkpoint import read_metadata, read_tensors, write_tensors

ROWS, DRAWN = 4096, 1024
"""Chunks that are rolled out, or drawn, at once."""

STREAM = stream("codi-baselines cost model")


@attrs.frozen(eq=False)
class Rollouts:
    """Chunks of a state each, and what they cost there; on the CPU, wherever they were made.

    Attributes:
        states: the windows of the demonstrations in whose states they begin, (S,).
        chunks: flat joint chunks, normalised, half precision, (S, m, D); None for those that were
            demonstrated.
        costs: J of each, (S, m); +inf where the predictor calls it impossible, NaN where it has no
            value.
        counts: how many rollouts they took, and what was special about them, by name.
        seconds: what took how long, by name.
    """

    states: Tensor
    chunks: Tensor | None
    costs: Tensor
    counts: Mapping[str, int]
    seconds: Mapping[str, float]


@attrs.frozen(eq=False)
class RollingOut:
    """Rolls out chunks in the states of demonstrations.

    Attributes:
        demonstrations: the states.
        predictor: foresees what chunks lead to.
        cost: J(s, a) on the predicted trajectory.
        seed: of the samples.
        diagnostics: what is counted and timed.
    """

    demonstrations: JointDemonstrations
    predictor: Predictor
    cost: CostFunction
    seed: int = 0
    diagnostics: Diagnostics = attrs.field(factory=Diagnostics)

    def demonstrated(self) -> Rollouts:
        """What was demonstrated, in all windows: one rollout each."""
        rows = torch.arange(len(self.demonstrations))
        costs = [
            self._costs(part, self.demonstrations.chunks(part).unsqueeze(1))
            for part in torch.split(rows, ROWS)
        ]
        return self._rollouts(rows, None, torch.cat(costs))

    @torch.no_grad()
    def sampled(self, states: int, samples: int, sampler: Sampler) -> Rollouts:
        """Samples of the base policies in states drawn at random, without replacement.

        Args:
            states: how many; all, if there are fewer.
            samples: m, how many samples in each.
            sampler: draws them.
        """
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.demonstrations), generator=generator)
        rows = order[:states].sort().values
        chunks, costs = [], []
        for part in torch.split(rows, max(1, DRAWN // samples)):
            # Rolled out as they are kept, so that costs belong to the very chunks.
            drawn = self._draw(part, samples, sampler).half()
            chunks.append(drawn)
            costs.append(self._costs(part, drawn.float()))
        return self._rollouts(rows, torch.cat(chunks), torch.cat(costs))

    def observed(self, states: Tensor) -> Tensor:
        """What the factors observe in the windows (S,), (S, C)."""
        product, found = self.demonstrations.product, []
        for part in torch.split(states, ROWS):
            observation = self.demonstrations.observation(part)
            found.append(conditioning(product, observation, len(part)))
        return torch.cat(found)

    def _draw(self, states: Tensor, samples: int, sampler: Sampler) -> Tensor:
        product, context = self.demonstrations.product, self._context(states)
        with self.diagnostics.stage("draw"):
            denoiser = product.denoiser(context.observation)
            return sample_many(sampler, denoiser, samples, product.size, context)

    @torch.no_grad()
    def _costs(self, states: Tensor, chunks: Tensor) -> Tensor:
        product, context = self.demonstrations.product, self._context(states)
        return make_evaluate(product, self.predictor, self.cost, context)(chunks).float()

    def _context(self, states: Tensor) -> PlanContext:
        """Plans in the windows (n,), which count and time together."""
        product, noise = self.demonstrations.product, (self.seed, STREAM)
        context = plans_in(self.demonstrations, states, product, noise)
        return attrs.evolve(context, diagnostics=self.diagnostics)

    def _rollouts(self, states: Tensor, chunks: Tensor | None, costs: Tensor) -> Rollouts:
        seconds = {name: round(value, 1) for name, value in self.diagnostics.seconds.items()}
        kept_chunks = None if chunks is None else chunks.cpu()
        return Rollouts(states, kept_chunks, costs.cpu(), dict(self.diagnostics.counts), seconds)


def kept(path: Path, what: Mapping[str, Any], roll_out: Callable[[], Rollouts]) -> Rollouts:
    """The rollouts of a file; they are made anew and kept there unless it has the same ones.

    Args:
        path: the file.
        what: JSON-able; all that the rollouts depend on.
        roll_out: makes them.
    """
    # Through JSON, so that tuples compare with the lists that were written.
    wanted = json.loads(to_json(what))
    known = _read(path)
    if known is not None and known[0] == wanted:
        return known[1]
    made = roll_out()
    tensors = {"states": made.states, "chunks": made.chunks, "costs": made.costs}
    write_tensors(
        path,
        {name: value for name, value in tensors.items() if value is not None},
        {"of": wanted, "counts": made.counts, "seconds": made.seconds},
    )
    return made


def _read(path: Path) -> tuple[dict[str, Any], Rollouts] | None:
    """What the rollouts of a file depend on, and they; None without a sound file."""
    try:
        metadata, tensors = read_metadata(path), read_tensors(path)
        found = Rollouts(
            tensors["states"],
            tensors.get("chunks"),
            tensors["costs"],
            metadata["counts"],
            metadata["seconds"],
        )
        return metadata["of"], found
    except (CheckpointError, KeyError):
        return None
