"""What a team does becomes data, and one robot's policy comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codi_core.cli.run import main as run
from codi_core.cli.train import main as train
from codi_core.data import DemonstrationDataset
from codi_core.training import load_checkpoint
from codi_navigation.task import single_agent
from codi_navigation.vehicles import Team

SHORT = ["--episodes", "2", "--worlds", "1", "--max-seconds", "2", "--no-video", "--no-report"]
TASK = ["--task", "navigation-warehouse", "--agents", "3", "--seed", "1"]


def test_a_recorded_team_trains_the_policy_of_one_robot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*TASK, *SHORT, "--output", "run", "--record", "team"]) == 0
    data = DemonstrationDataset.load("team")
    assert (data.episodes, data.fps) == (2, 10)
    # Maps have as many obstacles as they happen to have; an episode's key restores them.
    assert not {"event.obstacles", "event.passages", "event.roundabouts"} & set(data.features)
    assert data.arrays["episode"][data.episode_starts[:-1]].tolist() == [[1, 0], [1, 1]]
    np.testing.assert_array_equal(data.arrays["state.position"], data.arrays["event.position"])
    first = slice(0, int(data.episode_starts[1]) - 1)
    positions = data.arrays["state.position"][first].reshape(-1, 3, 2)
    step = np.diff(positions, axis=0)[:, 1]
    commanded = data.arrays["action.robot1"][first][:-1]
    # Robots follow their commands within what their motors can do.
    moving = np.linalg.norm(step, axis=-1) > 0.03
    assert moving.any()
    cosine = (step * commanded).sum(-1) / np.maximum(
        np.linalg.norm(step, axis=-1) * np.linalg.norm(commanded, axis=-1), 1e-9
    )
    assert np.median(cosine[moving]) > 0.8

    own = [
        f"observation.robot1.{name}=observation.{name}" for name in ("state", "environment_state")
    ]
    spec = single_agent(Team.of("holonomic", 3)).kinds["holonomic"]
    small = ["--network", "mlp", "--width", "16", "--depth", "1", "--batch-size", "8"]
    chunk = ["--horizon", str(spec.action.horizon), "--held-out", "0.5", "--steps", "3"]
    choice = ["--observations", *own, "--action", "action.robot1"]
    assert train(["team", "--output", "policy", *choice, *chunk, *small]) == 0
    load_checkpoint("policy/checkpoint.safetensors", spec)
    trained = ["--checkpoint", "policy/checkpoint.safetensors", "--output", "with-it"]
    assert run([*TASK, *SHORT, "--episodes", "1", *trained]) == 0
