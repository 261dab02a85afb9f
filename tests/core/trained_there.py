"""Trainings that are stopped and resumed, on the CPU and on a second device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import torch

from codi_core.testing import second_device
from codi_core.training import TrainingSession, TrainingSettings
from codi_core.training.checkpoint import read_tensors

Build = Callable


def check_trained_alike(settings: TrainingSettings, build: Build, folder: Path) -> None:
    """Check that a training on another device ends with the weights that it has on the CPU.

    Args:
        settings: of at least three steps; their ``output`` and ``device`` are replaced.
        build: makes the training's parts.
        folder: for the trainings' folders.
    """
    here = _weights(attrs.evolve(settings, output=str(folder / "here")), build)
    with second_device() as device:
        changes = {"output": str(folder / "there"), "device": str(device)}
        there = _weights(attrs.evolve(settings, **changes), build)
    assert here.keys() == there.keys()
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, rtol=1e-3, atol=1e-4)


def _weights(settings: TrainingSettings, build: Build) -> dict[str, torch.Tensor]:
    """The weights of the checkpoint of a training that was stopped after two steps."""
    begun = _session(settings, build)
    begun.start(["test"])
    assert not _run(begun, steps=2)
    again = _session(settings, build)
    again.resume()
    assert again.trainer.step == 2
    assert _run(again, steps=settings.steps)
    device = torch.device(settings.device)
    assert all(value.device == device for value in again.trainer.model.parameters())
    return read_tensors(again.checkpoint)


def _session(settings: TrainingSettings, build: Build) -> TrainingSession:
    return TrainingSession(settings, build, warn=pytest.fail)


def _run(session: TrainingSession, steps: int) -> bool:
    return session.run(lambda progress: None, lambda: session.trainer.step >= steps)
