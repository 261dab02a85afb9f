"""The benchmark of ORCA: what it commands, and what it prints."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from codi_core import experiments
from codi_core.tasks import EpisodeKey
from codi_navigation.maps.shapes import Obstacle
from codi_navigation.vehicles.base import ACCELERATION, PERIOD

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def orca(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    import orca

    return orca


def test_the_command_brings_a_robot_as_near_to_orcas_velocity_as_it_can_come(
    orca: ModuleType,
) -> None:
    pytest.importorskip("pyrvo")
    wave = orca._Wave(experiments.prepare("navigation-swap", {"agents": 2}), [_job(orca)])
    wanted = np.array([[0.9, 0.1], [0.06, -0.08]], np.float32)  # beyond, and within reach
    before = torch.tensor([[0.3, 0.1], [0.0, 0.0]])
    wave.now.state.velocity[0] = before
    wave.worlds[0].velocities = lambda *seen: wanted
    wave.step(orca.Clock())
    most = ACCELERATION * PERIOD
    assert most == pytest.approx(0.2)
    expected = [[0.3 + most, 0.1], [0.06, -0.08]]
    assert wave.now.state.velocity[0].numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_preferred_velocities_turn_to_the_right_and_brake(orca: ModuleType) -> None:
    experiment = experiments.prepare("navigation-swap", {"agents": 2})
    state = experiment.environment().reset([EpisodeKey(0, 0), EpisodeKey(0, 1)]).state
    state.position[:] = state.routes.goal - torch.tensor([[0.5, 0.0], [0.02, 0.0]])
    straight, turned = orca.preferred_velocities(state, torch.tensor([0.0, 90.0]))
    # 0.5 m before the goal nobody brakes yet; 2 cm before it the robot gets there in one period.
    assert straight.numpy() == pytest.approx(np.array([[1.0, 0.0], [0.2, 0.0]]), abs=1e-5)
    assert turned.numpy() == pytest.approx(np.array([[0.0, -1.0], [0.0, -0.2]]), abs=1e-5)


def test_corners_of_a_turned_box_go_around_it_counterclockwise(orca: ModuleType) -> None:
    box = Obstacle.box(1.0, 2.0, 4.0, 2.0, np.pi / 2)
    shape = np.array([box.x, box.y, box.half_length, box.half_width, box.angle, box.rounding])
    expected = [[2.0, 0.0], [2.0, 4.0], [0.0, 4.0], [0.0, 0.0]]
    assert orca.corners(shape) == pytest.approx(np.array(expected))


def test_two_robots_on_a_collision_course_pass_without_contact(orca: ModuleType) -> None:
    pytest.importorskip("pyrvo")
    experiment = experiments.prepare("navigation-swap", {"agents": 2})
    (record,), clock = orca.run(experiment, [_job(orca)])
    assert record["success"]
    assert not record["robot_contact"]
    assert record["closest_m"] < 0.15  # they did meet
    assert clock.steps == round(record["makespan_s"] / PERIOD)


def test_a_wall_in_between_is_not_driven_through(orca: ModuleType) -> None:
    pytest.importorskip("pyrvo")
    wall = np.array([[0.5, 0.0, 0.05, 5.0, 0.0, 0.0]])
    alone = orca.Orca(orca.PLAIN, 0.15, wall, 1)
    place, speed = np.zeros((1, 2)), np.array([[1.0, 0.0]])
    for _ in range(30):
        speed = alone.velocities(place, speed, np.array([[1.0, 0.0]]))
        place = place + PERIOD * speed
    # Its rim is at the wall's near side.
    assert place[0, 0] == pytest.approx(0.45 - 0.15, abs=5e-3)


def test_settings_are_given_by_three_numbers(orca: ModuleType) -> None:
    assert orca.Settings.parsed("30,0.25,0.01") == orca.Settings(30.0, 0.25, 0.01)
    for wrong in ("30,0.25", "a,b,c", "1,2,3,4"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not TURN,HORIZON"):
            orca.Settings.parsed(wrong)


def test_a_small_run_prints_both_rivals_and_writes_what_was_tried(
    orca: ModuleType, tmp_path: Path
) -> None:
    pytest.importorskip("pyrvo")
    path = tmp_path / "figures.json"
    told = _command("--agents", "2", "--episodes", "2", "--tuning-episodes", "1", "--json", path)
    assert told.returncode == 0, told.stdout + told.stderr
    for word in ("plain", "tuned", "2 of 2", "success", "contact", "makespan"):
        assert word in told.stdout
    plain, tuned = json.loads(path.read_text())["rows"]
    assert plain["settings"] == {"turn": 0.0, "horizon": 2.0, "margin": 0.0}
    assert plain["successes"] == 2
    assert plain["interval_95"] == pytest.approx([0.342372, 1.0], abs=1e-5)
    assert len(tuned["tried"]) == len(orca.GRID) + orca.FINALISTS
    chosen = [entry for entry in tuned["tried"] if tuned["settings"].items() <= entry.items()]
    assert [(entry["episodes"], entry["successes"]) for entry in chosen] == [(1, 1), (1, 1)]


def test_without_pyrvo_it_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "pyrvo.py").write_text("raise ImportError")
    told = _command("--agents", "2", first_on_path=tmp_path)
    assert told.returncode == 2
    assert told.stdout.strip() == "error: pyrvo is missing: pip install --no-deps pyrvo"


def _job(orca: ModuleType) -> tuple[object, EpisodeKey]:
    return orca.PLAIN, EpisodeKey(0, 0)


def _command(*words: object, first_on_path: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(first_on_path), os.environ.get("PYTHONPATH", "")))
    return subprocess.run(
        [sys.executable, str(FOLDER / "orca.py"), *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "160"},
    )
