"""One training run: from a dataset's folder to a checkpoint."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs
import torch

from codi_core.data import DemonstrationDataset, Segments, segments, split_episodes
from codi_core.errors import DatasetError, SpecificationError, UsageError
from codi_core.policies import ActionSpec, Batch, DiffusionPolicy, Normaliser, PolicySpec
from codi_core.policies.diffusion import denoising_loss
from codi_core.training.checkpoint import describe, save_checkpoint
from codi_core.training.curve import draw_curve, read_curve
from codi_core.training.settings import RunSettings
from codi_core.training.trainer import Progress, Trainer
from codi_core.version import __version__

_PACKAGES = ("torch", "numpy", "pyarrow", "safetensors", "attrs")


class TrainingSession:
    """Everything that one run needs, made from its settings.

    Args:
        settings: what to train on, what to train, and how.

    Raises:
        CodiError: the data cannot be read, or does not fit the settings.
    """

    def __init__(self, settings: RunSettings) -> None:
        torch.set_num_threads(settings.threads)
        self.device = _device(settings.device)
        self.settings = settings
        self.folder = Path(settings.output)
        self.dataset = _load(settings)
        self.observations = [name for name in self.dataset.features if name != settings.action]
        train, held_out = split_episodes(self.dataset.episodes, settings.held_out, settings.seed)
        self.train = self._segments(train)
        self.held_out = self._segments(held_out) if len(held_out) else None
        self.policy = self._policy().to(self.device)

    @cached_property
    def trainer(self) -> Trainer[DiffusionPolicy, Batch]:
        """The trainer of this run."""
        return Trainer(
            self.policy,
            denoising_loss,
            self.train.to(self.device),
            self.settings.trainer(),
            self.folder,
            self.held_out.to(self.device) if self.held_out else None,
        )

    def start(self, command: Sequence[str]) -> None:
        """Make the run folder and write the resolved configuration into it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self._document(command), indent=2) + "\n"
        (self.folder / "config.json").write_text(text, encoding="utf-8")

    def resume(self) -> None:
        """Go on from the saved state, if the data is still the same.

        Raises:
            DatasetError: the data has changed.
            CheckpointError: there is no state, or it is damaged.
        """
        known = read_document(self.folder)["data"]["fingerprint"]
        if known != self.data()["fingerprint"]:
            raise DatasetError(
                f"{self.dataset.root} is not the data that {self.folder} was trained on "
                f"(fingerprint {known[:12]}…): restore it, or start anew in another folder"
            )
        self.trainer.resume()

    def run(self, report: Callable[[Progress], None], stop: Callable[[], bool]) -> bool:
        """Train, then write the checkpoint and the picture of the curve.

        Returns:
            Whether the end was reached; a stopped run writes both too.
        """
        finished = self.trainer.run(report, stop)
        save_checkpoint(self.trainer.averaged, self.checkpoint, self._metadata())
        draw_curve(read_curve(self.folder / "curve.csv"), self.folder / "curve.png")
        return finished

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint goes."""
        return self.folder / "checkpoint.safetensors"

    def data(self) -> dict[str, Any]:
        """What the policy is trained on."""
        return {
            "root": str(self.dataset.root),
            "fingerprint": self._fingerprint,
            "features": sorted(self.dataset.features),
            "episodes": self.dataset.episodes,
            "frames": self.dataset.frames,
            "training_windows": len(self.train),
            "held_out_windows": len(self.held_out) if self.held_out else 0,
        }

    @cached_property
    def _fingerprint(self) -> str:
        return self.dataset.fingerprint()

    def _segments(self, episodes: Any) -> Segments:
        settings = self.settings
        return segments(
            self.dataset,
            settings.horizon,
            self.observations,
            settings.action,
            settings.history,
            settings.offset,
            episodes,
        )

    def _policy(self) -> DiffusionPolicy:
        settings, features = self.settings, self.dataset.features
        size = features[settings.action].shape[0]
        names: Any = features[settings.action].names
        names = names or [f"{settings.action}_{index}" for index in range(size)]
        action = ActionSpec(names, settings.horizon, float(self.dataset.fps), settings.offset)
        shapes = {name: features[name].shape for name in self.observations}
        torch.manual_seed(settings.seed)
        return DiffusionPolicy.build(
            PolicySpec(action, shapes, settings.history),
            settings.network,
            _fit(self.train.actions, self.train),
            {name: _fit(values, self.train) for name, values in self.train.observations.items()},
            **settings.diffusion(),
            **settings.network_options(),
        )

    def _metadata(self) -> dict[str, Any]:
        curve = read_curve(self.folder / "curve.csv")
        measured = [point.held_out_loss for point in curve if point.held_out_loss is not None]
        return {
            "data": self.data(),
            "training": {
                **attrs.asdict(self.settings),
                "steps_done": self.trainer.step,
                "final_loss": curve[-1].loss if curve else None,
                "final_held_out_loss": measured[-1] if measured else None,
            },
            "versions": _versions(),
        }

    def _document(self, command: Sequence[str]) -> dict[str, Any]:
        return {
            "configuration": attrs.asdict(self.settings),
            "policy": describe(self.policy),
            "parameters": sum(value.numel() for value in self.policy.parameters()),
            "data": self.data(),
            "command": list(command),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
            "machine": {
                "platform": platform.platform(),
                "architecture": platform.machine(),
                "processors": os.cpu_count(),
                "torch_threads": torch.get_num_threads(),
            },
        }


def read_document(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a run folder.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    path = folder / "config.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}), so there is no run to resume: "
            "leave out --resume to start one"
        ) from error
    return document


def _load(settings: RunSettings) -> DemonstrationDataset:
    if settings.observations:
        return DemonstrationDataset.load(
            settings.dataset, [*settings.observations, settings.action]
        )
    readable = DemonstrationDataset.features_of(settings.dataset)
    names = [name for name in readable if name.startswith("observation")]
    if not names:
        raise DatasetError(
            f"{settings.dataset} has no numeric feature called 'observation…': name what the "
            f"policy observes with --observations; there is {', '.join(map(repr, readable))}"
        )
    return DemonstrationDataset.load(settings.dataset, [*names, settings.action])


def _fit(values: torch.Tensor, windows: Segments) -> Normaliser:
    return Normaliser.fit(values[windows.frame].flatten(1))


def _device(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SpecificationError(f"--device {name} cannot be used here: {reason}") from error
    return name


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "codi-core": __version__}
    return versions | {name: metadata.version(name) for name in _PACKAGES}
