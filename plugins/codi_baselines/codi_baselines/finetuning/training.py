"""The training of fine-tuned policies, for codi-train-baseline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from codi_baselines.demonstrations import JointDemonstrations
from codi_baselines.finetuning.base import Examples, FineTuning
from codi_baselines.finetuning.dpmd import MirrorDescent
from codi_baselines.finetuning.expo import EditAndDistil
from codi_baselines.finetuning.on_policy import Collecting, OnPolicySource
from codi_baselines.finetuning.residual import frozen_base, residual_policy, save_residual
from codi_baselines.finetuning.rollouts import ExpectedCost, Rollouts
from codi_baselines.finetuning.sdac import ActionRange, SoftActorCritic
from codi_baselines.finetuning.settings import (
    EditAndDistilSettings,
    FineTuningSettings,
    MirrorDescentSettings,
    SoftActorCriticSettings,
)
from codi_baselines.purpose import Purpose
from codi_baselines.sampling import few_calls
from codi_core.policies import DiffusionPolicy
from codi_core.training.checkpoint import describe
from codi_core.training.parts import TrainingParts

ROWS = 4096
"""Demonstrated chunks that are looked at together."""


def fine_tuning_parts(settings: FineTuningSettings) -> TrainingParts[DiffusionPolicy, Examples]:
    """A residual on the joint policy, the method's loss, and batches that the policy samples.

    Raises:
        CodiError: the data can't be read, or does not fit the settings.
    """
    experiment = settings.experiment()
    product = experiment.product()
    base = frozen_base(product)
    demonstrations = JointDemonstrations.load(
        Path(settings.dataset), experiment.opened, product, settings.episodes
    )
    rollouts = Rollouts(
        demonstrations,
        product,
        experiment.predictor(),
        experiment.cost(),
        few_calls(experiment.config, settings.sampling_steps),
    )
    method = _method(settings, base, demonstrations)
    collecting = Collecting(settings.refresh, settings.states, settings.samples, settings.kept)
    source = OnPolicySource(rollouts, method, collecting)
    purpose = Purpose.of(settings.method, experiment.planned_for(), settings.model_temperature)
    policy = residual_policy(base)

    def save(averaged: DiffusionPolicy, path: Path, metadata: Mapping[str, Any]) -> None:
        known = {**purpose.metadata(), "rollouts": source.rolled_out}
        save_residual(averaged, path, {**known, **metadata})

    return TrainingParts(
        policy,
        method.loss,
        source,
        save,
        {
            "root": str(demonstrations.root),
            "fingerprint": demonstrations.fingerprint,
            "states": len(demonstrations),
        },
        {**describe(base), "bases": dict(purpose.bases)},
        measures={
            "expected_cost": ExpectedCost(
                rollouts, settings.measured_states, settings.measured_samples, settings.seed
            ),
            "rollouts": lambda averaged: float(source.rolled_out),
        },
    )


def _method(
    settings: FineTuningSettings, base: DiffusionPolicy, demonstrations: JointDemonstrations
) -> FineTuning:
    temperature = settings.temperature
    if isinstance(settings, MirrorDescentSettings):
        return MirrorDescent(temperature, settings.normalise)
    if isinstance(settings, EditAndDistilSettings):
        return EditAndDistil(temperature, settings.edits, settings.edit_scale)
    assert isinstance(settings, SoftActorCriticSettings)
    within = action_range(demonstrations) if settings.clip else None
    return SoftActorCritic(
        temperature, settings.reverse_samples, base.noise_mean, base.noise_std, within
    )


def action_range(demonstrations: JointDemonstrations) -> ActionRange:
    """The range of demonstrated chunks, normalised, column by column."""
    parts = torch.split(torch.arange(len(demonstrations)), ROWS)
    ends = [demonstrations.chunks(part).aminmax(dim=0) for part in parts]
    low = torch.stack([end.min for end in ends]).amin(0)
    high = torch.stack([end.max for end in ends]).amax(0)
    return ActionRange(low, high)
