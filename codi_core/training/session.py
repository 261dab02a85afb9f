"""One training run: from its settings to a checkpoint, in a folder."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import torch
from torch import nn

from codi_core.errors import CodiError, DatasetError
from codi_core.execution.devices import check_device
from codi_core.files.durable import to_json, write_durably
from codi_core.training.curve import draw_curve, read_curve
from codi_core.training.folder import CONFIG, CURVE, CURVE_PICTURE, KEPT, read_document
from codi_core.training.footprint import check_batch
from codi_core.training.parts import TrainingParts
from codi_core.training.settings import SessionSettings
from codi_core.training.trainer import LostStateError, Progress, Trainer
from codi_core.version import __version__

_PACKAGES = ("torch", "numpy", "pyarrow", "safetensors", "attrs")

SettingsT = TypeVar("SettingsT", bound=SessionSettings)
ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT = TypeVar("BatchT")


class TrainingSession(Generic[SettingsT, ModelT, BatchT]):
    """Trains in a folder: what is trained, on what and towards what, is made from the settings.

    Args:
        settings: an attrs class with JSON-able fields.
        build: makes the model, the loss and the batches, such as
            :func:`~codi_core.training.imitation.imitation_parts`. All that it draws at random
            derives from the settings.
        warn: takes what the user should know.

    Raises:
        CodiError: the device can't be used, or what ``build`` raises.
    """

    def __init__(
        self,
        settings: SettingsT,
        build: Callable[[SettingsT], TrainingParts[ModelT, BatchT]],
        warn: Callable[[str], None] = warnings.warn,
    ) -> None:
        torch.set_num_threads(settings.threads)
        check_device(settings.device)
        self.settings = settings
        self.folder = Path(settings.output)
        self.parts = build(settings)
        check_batch(self.parts, settings.trainer().batch_size, settings.device)
        self.trainer = Trainer(
            self.parts.model,
            self.parts.loss,
            self.parts.source,
            settings.trainer(),
            self.folder,
            self.parts.held_out,
            self.parts.measures,
        )
        self._warn = warn
        for note in self.parts.notes:
            warn(note)

    def start(self, command: Sequence[str]) -> None:
        """Make the run folder and write the resolved configuration into it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self.folder / CONFIG, to_json(self._document(command)))

    def resume(self) -> None:
        """Go on from the saved state, if the data is still the same.

        If the state was never saved, or is damaged, training begins anew, and a warning says so.

        Raises:
            DatasetError: the data has changed.
            CheckpointError: the saved state is that of other settings, or of another model.
        """
        known = read_document(self.folder)["data"].get("fingerprint")
        if known != self.parts.data.get("fingerprint"):
            raise DatasetError(
                f"{self.parts.data.get('root')} is not the data that {self.folder} was trained on "
                f"(fingerprint {str(known)[:12]}…): restore it, or start anew in another folder"
            )
        try:
            self.trainer.resume()
        except LostStateError as error:
            self._warn(f"{error}; training begins anew")

    def run(self, report: Callable[[Progress], None], stop: Callable[[], bool]) -> bool:
        """Train, then write the checkpoint and the picture of the curve.

        With the trainer's setting ``keep_every``, ``checkpoint-STEP.safetensors`` are kept on the
        way.

        Returns:
            Whether the end was reached; a stopped run writes both too.

        Raises:
            CodiError: the folder can't be written any more; what was saved before is whole.
        """
        try:
            finished = self.trainer.run(report, stop, self._keep)
            self._save(self.checkpoint)
        except OSError as error:
            raise CodiError(
                f"cannot write '{self.folder}': {error.strerror or error}; make room, and go on "
                f"with --resume from the state that was saved last"
            ) from error
        self._draw_curve()
        return finished

    @property
    def checkpoint(self) -> Path:
        """Where the checkpoint goes."""
        return self.folder / "checkpoint.safetensors"

    def _keep(self) -> None:
        self._save(self.folder / KEPT.format(self.trainer.step))

    def _save(self, path: Path) -> None:
        self.parts.save(self.trainer.averaged, path, self._metadata())

    def _draw_curve(self) -> None:
        """A picture that fails must not spoil a training that has its checkpoint."""
        try:
            draw_curve(read_curve(self.folder / CURVE), self.folder / CURVE_PICTURE)
        except Exception as error:
            self._warn(f"{CURVE_PICTURE} was not written: {type(error).__name__}: {error}")

    def _metadata(self) -> dict[str, Any]:
        curve = read_curve(self.folder / CURVE)
        held_out = [point.held_out_loss for point in curve if point.held_out_loss is not None]
        measured = [point.measured for point in curve if point.measured]
        return {
            "data": dict(self.parts.data),
            "training": {
                **_configuration(self.settings),
                "steps_done": self.trainer.step,
                "final_loss": curve[-1].loss if curve else None,
                "final_held_out_loss": held_out[-1] if held_out else None,
                **{f"final_{name}": value for name, value in (measured or [{}])[-1].items()},
            },
            "versions": _versions(),
        }

    def _document(self, command: Sequence[str]) -> dict[str, Any]:
        return {
            "configuration": _configuration(self.settings),
            "policy": dict(self.parts.description),
            "parameters": sum(value.numel() for value in self.parts.model.parameters()),
            "data": dict(self.parts.data),
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


def _configuration(settings: Any) -> Mapping[str, Any]:
    return attrs.asdict(settings)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "codi-core": __version__}
    return versions | {name: metadata.version(name) for name in _PACKAGES}
