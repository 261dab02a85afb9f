"""A recording, driven through a simulation again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codi_core import experiments
from codi_core.data import DemonstrationDataset
from codi_core.errors import UsageError
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.replaying.command import main
from codi_franka.replaying.replay import FEATURES, replay

STEPS = 12


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.2 s of a run without noise and variation, with another goal than the usual one."""
    folder = tmp_path_factory.mktemp("recorded")
    experiments.run(
        "franka-handoff",
        task_options={"randomize": False, "goal": (0.3, 0.1)},
        method="base",
        episodes=1,
        seed=3,
        max_seconds=STEPS / 10,
        record=folder / "data",
        output=folder / "run",
        progress=False,
    )
    return folder / "data"


def environment() -> FrankaEnvironment:
    return FrankaEnvironment(HandoffOptions(randomize=False), MujocoMaker())


def test_the_same_physics_lead_to_the_same(recording: Path) -> None:
    """But for what a state estimate does not tell, such as forces between fingers."""
    made = replay(DemonstrationDataset.load(recording, FEATURES), 0, environment())
    assert made.seconds.tolist() == [step / 10 for step in range(STEPS)]
    assert np.allclose(made.simulated["goal"], [0.3, 0.1, 0.025])
    moved = made.recorded["hand_position"][-1] - made.recorded["hand_position"][0]
    assert np.linalg.norm(moved, axis=-1).max() > 0.05
    assert all(values.max() < 2e-3 for values in made.distances().values())


def test_other_actions_lead_elsewhere(recording: Path) -> None:
    data = DemonstrationDataset.load(recording, FEATURES)
    data.arrays["action"][:, 0] += 0.2
    distances = replay(data, 0, environment()).distances()
    assert distances["left hand"][-1] > 0.1
    assert distances["right hand"].max() < 2e-3


def test_an_episode_that_is_not_there_is_named(recording: Path) -> None:
    data = DemonstrationDataset.load(recording, FEATURES)
    with pytest.raises(UsageError, match="has no episode 1: it has 1, from 0 on"):
        replay(data, 1, environment())


def test_the_command_tells_and_draws(recording: Path, tmp_path: Path, capsys) -> None:
    words = [str(recording), "--output", str(tmp_path / "out"), "--seconds", "0.5", "--no-video"]
    assert main(words) == 0
    assert "after 0.5 s: cube 0.0, left hand 0.0, right hand 0.0" in capsys.readouterr().out
    figures = json.loads((tmp_path / "out" / "replay.json").read_text())
    assert len(figures["seconds"]) == 6
    assert (tmp_path / "out" / "replay.png").stat().st_size > 1000


def test_what_is_no_recording_is_told(tmp_path: Path, capsys) -> None:
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "is not a demonstration dataset" in capsys.readouterr().err
