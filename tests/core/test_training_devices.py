"""Imitation on a device other than the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from codi_core.testing import device_waits, second_device
from codi_core.training import TrainingSession
from codi_core.training.imitation import imitation_parts
from codi_core.training.settings import RunSettings
from tests.core.demonstrations import write_gaussian
from tests.core.trained_there import check_trained_alike

NETWORKS = {"mlp": {"width": 16, "depth": 1}, "unet": {"widths": (16, 32)}}


@pytest.mark.parametrize("network", NETWORKS)
def test_policies_are_trained_and_resumed_there(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codi_core.training.session.draw_curve", lambda points, path: None)
    settings = RunSettings(
        dataset=str(write_gaussian(tmp_path / "data")),
        output="",
        network=network,
        steps=4,
        batch_size=512,
        horizon=4,
        held_out=0.2,
        evaluate_every=2,
        **NETWORKS[network],
    )
    check_trained_alike(settings, imitation_parts, tmp_path)


def test_a_step_never_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Progress is told twice a second, and read for that.
    monkeypatch.setattr("codi_core.training.trainer.time.monotonic", lambda: 0.0)
    data = write_gaussian(tmp_path / "data")
    with second_device() as device:
        settings = RunSettings(
            dataset=str(data),
            output=str(tmp_path / "run"),
            device=str(device),
            steps=9,
            batch_size=8,
            horizon=4,
            network="unet",
            **NETWORKS["unet"],
        )
        trainer = TrainingSession(settings, imitation_parts).trainer
        trainer.folder.mkdir()
        trainer.run(stop=lambda: trainer.step == 2)
        with device_waits() as waits:
            trainer.run(stop=lambda: trainer.step == 4)
    # The two steps are between the saved states.
    assert [place for place in waits if "execution/devices.py" not in place] == []
