"""The training of a cost model, for codi-train-baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_baselines.cost_model.checkpoint import save_cost_model
from codi_baselines.cost_model.examples import CostExamples, finite_costs
from codi_baselines.cost_model.losses import CostBatch, CostModelLoss
from codi_baselines.cost_model.network import CostModel
from codi_baselines.cost_model.rollouts import RollingOut, Rollouts, kept
from codi_baselines.cost_model.settings import DEMONSTRATIONS, CostModelSettings
from codi_baselines.demonstrations import JointDemonstrations
from codi_baselines.purpose import Purpose
from codi_baselines.sampling import few_calls
from codi_core.commands.output import say
from codi_core.data import split_episodes
from codi_core.errors import DatasetError
from codi_core.experiments import Experiment
from codi_core.policies import Normaliser
from codi_core.training.footprint import check_network
from codi_core.training.parts import TrainingParts

ROLLOUTS = "rollouts.safetensors"
"""The file in a training's folder that saves a resumed training rolling out again."""


def cost_model_parts(settings: CostModelSettings) -> TrainingParts[CostModel, CostBatch]:
    """A cost model, the loss of its target, and chunks with what they cost.

    Raises:
        CodiError: the data can't be read, or does not fit the settings.
    """
    experiment = settings.experiment()
    demonstrations = JointDemonstrations.load(
        Path(settings.dataset), experiment.opened, experiment.product(), settings.episodes
    )
    purpose = Purpose.of(settings.method, experiment.planned_for(), settings.model_temperature)
    rolling = RollingOut(demonstrations, experiment.predictor(), experiment.cost(), settings.seed)
    rollouts = kept(
        Path(settings.output) / ROLLOUTS,
        _dependencies(settings, demonstrations, purpose),
        lambda: _roll_out(settings, rolling, experiment),
    )
    train, held_out = _examples(settings, rolling, rollouts)
    model = _model(settings, demonstrations, train)

    def save(averaged: CostModel, path: Path, metadata: Mapping[str, Any]) -> None:
        known = {"target": settings.target, "rollouts": rollouts.counts["rollouts"]}
        save_cost_model(averaged, path, {**purpose.metadata(), **known, **metadata})

    return TrainingParts(
        model.to(settings.device),
        CostModelLoss(
            settings.model_temperature,
            settings.noise_mean,
            settings.noise_std,
            settings.resolution,
        ),
        train,
        save,
        {
            "root": str(demonstrations.root),
            "fingerprint": demonstrations.fingerprint,
            "episodes": len(demonstrations.episode_starts) - 1,
            "training_states": len(train),
            "held_out_states": len(held_out) if held_out else 0,
            "counts": dict(rollouts.counts),
            "seconds": dict(rollouts.seconds),
        },
        model.describe(),
        held_out,
    )


def _dependencies(
    settings: CostModelSettings, demonstrations: JointDemonstrations, purpose: Purpose
) -> dict[str, Any]:
    """All that the rollouts depend on."""
    names = ["samples_from"]
    if settings.samples_from != DEMONSTRATIONS:
        names += ["states", "samples", "sampling_steps", "seed"]
    described = purpose.metadata()
    del described["method"], described["temperature"]
    return {
        **described,
        **{name: getattr(settings, name) for name in names},
        "data": demonstrations.fingerprint,
    }


def _roll_out(settings: CostModelSettings, rolling: RollingOut, experiment: Experiment) -> Rollouts:
    if settings.samples_from == DEMONSTRATIONS:
        say(f"rolling out the chunks of {len(rolling.demonstrations)} demonstrated states")
        made = rolling.demonstrated()
    else:
        say(
            f"drawing and rolling out {settings.samples} chunks in each of {settings.states} states"
        )
        sampler = few_calls(experiment.config, settings.sampling_steps)
        made = rolling.sampled(settings.states, settings.samples, sampler)
    say(", ".join(f"{name} {value:.0f} s" for name, value in made.seconds.items()))
    return made


def _examples(
    settings: CostModelSettings, rolling: RollingOut, rollouts: Rollouts
) -> tuple[CostExamples, CostExamples | None]:
    """What is trained on, and what is held out, by episode."""
    device, demonstrations = settings.device, rolling.demonstrations
    costs, known = finite_costs(rollouts.costs)
    starts = demonstrations.episode_starts
    _, held_out = split_episodes(len(starts) - 1, settings.held_out, settings.seed)
    episode = torch.searchsorted(starts, rollouts.states[known], right=True) - 1
    apart = torch.isin(episode, torch.from_numpy(held_out))
    if bool(apart.all()):
        raise DatasetError(
            f"{demonstrations.root}: no state whose cost has a value is left to train on; use more "
            "episodes, or look at the cost"
        )
    chunks = None if rollouts.chunks is None else rollouts.chunks.to(device)
    windows = rollouts.states.to(device)

    def chunks_of(states: Tensor) -> Tensor:
        if chunks is not None:
            return chunks[states].float()
        return demonstrations.chunks(windows[states]).unsqueeze(1)

    examples = CostExamples(
        rolling.observed(rollouts.states), chunks_of, costs.to(device), known[~apart].to(device)
    )
    beside = attrs.evolve(examples, states=known[apart].to(device))
    return examples, beside if len(beside) else None


def _model(
    settings: CostModelSettings, demonstrations: JointDemonstrations, train: CostExamples
) -> CostModel:
    layout, observation = demonstrations.product.layout, train.conditioning[train.states].cpu()
    options: dict[str, Any] = {"width": settings.width, "depth": settings.depth}
    values = sum(layout.action_sizes)
    check_network("mlp", layout.horizon, values, observation.shape[-1], options, settings.device)
    torch.manual_seed(settings.seed)
    model = CostModel.build(layout, Normaliser.fit(observation), **options)
    costs = train.costs[train.states].double()
    if costs.shape[-1] > 1:  # a state's mean is taken out of what is learnt
        costs = costs - costs.mean(-1, keepdim=True)
    model.mean.copy_(costs.mean())
    model.spread.copy_(costs.std(correction=0).clamp_min(1e-6))
    return model
