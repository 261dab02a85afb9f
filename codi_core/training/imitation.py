"""Imitation: a diffusion policy that does what demonstrations show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import torch
from numpy.typing import NDArray

from codi_core.data import DemonstrationDataset, FeatureSpec, Segments, segments, split_episodes
from codi_core.errors import DatasetError
from codi_core.execution.memory import check_memory
from codi_core.policies import ActionSpec, Batch, DiffusionPolicy, Normaliser, PolicySpec
from codi_core.policies.diffusion import denoising_loss, network_sizes
from codi_core.policies.normalisation import varying
from codi_core.training.checkpoint import describe, save_checkpoint
from codi_core.training.footprint import check_network
from codi_core.training.parts import TrainingParts
from codi_core.training.settings import RunSettings


def imitation_parts(settings: RunSettings) -> TrainingParts[DiffusionPolicy, Batch]:
    """A diffusion policy, the denoising loss (Eq. 4), and windows of a data set.

    Raises:
        CodiError: the data cannot be read, or does not fit the settings.
    """
    _check_windows(settings)
    dataset, observed = _load(settings)
    train_episodes, held_out_episodes = split_episodes(
        dataset.episodes, settings.held_out, settings.seed
    )

    def windows(episodes: NDArray[Any]) -> Segments:
        return windows_of(
            dataset,
            observed,
            settings.action,
            settings.horizon,
            settings.history,
            settings.offset,
            episodes,
        )

    train = windows(train_episodes)
    held_out = windows(held_out_episodes) if len(held_out_episodes) else None
    policy = _policy(settings, dataset, observed, train)
    return TrainingParts(
        policy.to(settings.device),
        denoising_loss,
        train.to(settings.device),
        save_checkpoint,
        data_entry(dataset, train, held_out),
        describe(policy),
        held_out.to(settings.device) if held_out else None,
        tuple(_constant_dimensions(settings, dataset.features, observed, train)),
    )


def _check_windows(settings: RunSettings) -> None:
    """Check that there is room for the numbers of the frames that a batch of windows has."""
    check_memory(
        torch.int64.itemsize * settings.batch_size * (settings.horizon + settings.history),
        f"batches of {settings.batch_size:,} windows of {settings.horizon:,} actions and "
        f"{settings.history:,} observations",
        "give a smaller --batch-size, --horizon or --history",
        settings.device,
    )


def _load(settings: RunSettings) -> tuple[DemonstrationDataset, dict[str, str]]:
    """The data, and the observed features by the names that the policy has for them."""
    observed = settings.observed()
    if not observed:
        readable = DemonstrationDataset.features_of(settings.dataset)
        names = [name for name in readable if name.startswith("observation")]
        if not names:
            raise DatasetError(
                f"{settings.dataset} has no numeric feature called 'observation…': name what the "
                f"policy observes with --observations; there is {', '.join(map(repr, readable))}"
            )
        observed = {name: name for name in names if name != settings.action}
    features = dict.fromkeys([*observed.values(), settings.action])
    return DemonstrationDataset.load(settings.dataset, list(features)), observed


def windows_of(
    dataset: DemonstrationDataset,
    observed: Mapping[str, str],
    action: str,
    horizon: int,
    history: int,
    offset: int,
    episodes: NDArray[Any],
) -> Segments:
    """Windows of chosen episodes, whose observations have the names that a policy has for them.

    Args:
        dataset: the demonstrations.
        observed: the observed features, by these names.
        action: the feature that is predicted.
        horizon: K, actions in a chunk.
        history: H, observations in a window.
        offset: where the chunk starts relative to the present frame.
        episodes: their numbers.
    """
    features = list(observed.values())
    windows = segments(dataset, horizon, features, action, history, offset, episodes)
    renamed = {name: windows.observations[feature] for name, feature in observed.items()}
    return attrs.evolve(windows, observations=renamed)


def data_entry(
    dataset: DemonstrationDataset, train: Segments, held_out: Segments | None
) -> dict[str, Any]:
    """What a training notes of its data, JSON-able."""
    return {
        "root": str(dataset.root),
        "fingerprint": dataset.fingerprint(),
        "features": sorted(dataset.features),
        "episodes": dataset.episodes,
        "frames": dataset.frames,
        "training_windows": len(train),
        "held_out_windows": len(held_out) if held_out else 0,
    }


def _policy(
    settings: RunSettings,
    dataset: DemonstrationDataset,
    observed: Mapping[str, str],
    train: Segments,
) -> DiffusionPolicy:
    features = dataset.features
    names = _value_names(settings.action, features[settings.action])
    action = ActionSpec(names, settings.horizon, float(dataset.fps), settings.offset)
    shapes = {name: features[feature].shape for name, feature in observed.items()}
    spec = PolicySpec(action, shapes, settings.history)
    options = settings.network_options()
    check_network(settings.network, *network_sizes(spec), options, settings.device)
    torch.manual_seed(settings.seed)
    return DiffusionPolicy.build(
        spec,
        settings.network,
        Normaliser.fit(_rows(train.actions, train)),
        {name: Normaliser.fit(_rows(values, train)) for name, values in train.observations.items()},
        **settings.diffusion(),
        **options,
    )


def _value_names(feature: str, spec: FeatureSpec) -> tuple[str, ...]:
    return spec.names or tuple(f"{feature}_{index}" for index in range(spec.shape[0]))


def _rows(values: torch.Tensor, windows: Segments) -> torch.Tensor:
    return values[windows.frame].flatten(1)


def _constant_dimensions(
    settings: RunSettings,
    features: Mapping[str, FeatureSpec],
    observed: Mapping[str, str],
    train: Segments,
) -> Iterator[str]:
    """What is said about dimensions that never change, which are not scaled."""
    values = {settings.action: train.actions}
    values |= {observed[name]: tensor for name, tensor in train.observations.items()}
    for feature, tensor in values.items():
        names = _value_names(feature, features[feature])
        varies = varying(_rows(tensor, train))
        constant = [name for name, moves in zip(names, varies.tolist(), strict=True) if not moves]
        if constant:
            yield (
                f"in the demonstrations '{feature}' never changes in {', '.join(constant)}: "
                "nothing can be learnt from that"
            )
