"""Recorded demonstrations: what they hold, that they restore, and that training can read them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch

from codi_core.cli.collect import main as collect
from codi_core.data import DatasetWriter, DemonstrationDataset, segments
from codi_core.policies import AgentView
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_demonstrator
from codi_franka.action import ACTION_NAMES, ACTION_SPEC, actuator_targets
from codi_franka.collection.demonstrator import PICK, YIELD, HandoffDemonstrator
from codi_franka.collection.recorder import Frames, Recorder
from codi_franka.collection.settings import CollectionSettings
from codi_franka.observation import (
    ENVIRONMENT,
    ENVIRONMENT_NAMES,
    SHAPES,
    STATE,
    STATE_NAMES,
    observe,
)
from codi_franka.perception import CubeNoise
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.robot.controller import EndEffectorController
from codi_franka.state import FrankaState, tensors
from franka.installed import install_franka

UNDISTURBED = CollectionSettings(steps=80, jump_probability=0.0, action_noise=(0.0, 0.0))


def record(settings: CollectionSettings, episodes: list[int], seed: int = 0) -> list[Frames]:
    recorder = Recorder([EpisodeKey(seed, number) for number in episodes], 1, settings)
    assert list(recorder.run()) == list(range(1, settings.steps + 1))
    found = list(recorder.demonstrations())
    assert None not in found
    return found  # type: ignore[return-value]


def restored(frames: Frames, rows: slice) -> FrankaState:
    """The states of recorded frames, one world a frame."""
    fields = {f.name: torch.from_numpy(frames[f"state.{f.name}"][rows].copy())
              for f in attrs.fields(FrankaState) if f.name != "goal"}  # fmt: skip
    for name in ("joint_position", "joint_velocity"):
        fields[name] = fields[name].unsqueeze(1)
    return FrankaState(**fields)


@pytest.fixture(scope="module")
def demonstrations() -> list[Frames]:
    return record(UNDISTURBED, list(range(8)))


def test_a_demonstration_holds_the_features_that_are_promised(
    demonstrations: list[Frames],
) -> None:
    for frames in demonstrations:
        assert set(frames) == set(HandoffDemonstrator.features)
        for name, spec in HandoffDemonstrator.features.items():
            assert frames[name].shape == (80, *spec.shape), name
            assert spec.names is not None
            assert len(spec.names) == spec.shape[0]
    features = HandoffDemonstrator.features
    assert (features[STATE].names, features[ENVIRONMENT].names) == (STATE_NAMES, ENVIRONMENT_NAMES)
    assert features["action"].names == ACTION_NAMES


def test_recorded_observations_are_those_of_the_recorded_states(
    demonstrations: list[Frames],
) -> None:
    """The robot's own part exactly; the cube's with the noise of tracking."""
    noise = CubeNoise()
    for frames in demonstrations[:2]:
        seen = AgentView("left")(observe(restored(frames, slice(None)), ("left",)))
        np.testing.assert_allclose(frames[STATE], seen[STATE].numpy(), atol=1e-5)
        error = frames[ENVIRONMENT][:, :3] - seen[ENVIRONMENT][:, :3].numpy()
        assert error.std() == pytest.approx(noise.position_std, rel=0.25)


def test_a_recorded_state_restores_the_simulation(demonstrations: list[Frames]) -> None:
    """From each frame, the recorded action leads to the next frame.

    What differs is the springs' transients: a state has no set points of the joints.
    """
    controller, bound = EndEffectorController(), {"joint_position": 0.03, "cube_position": 0.02}
    for frames in demonstrations[:4]:
        now, after = restored(frames, slice(0, -1)), restored(frames, slice(1, None))
        simulator = MujocoSimulator(("left",), now.worlds, 1)
        simulator.set_state(now)
        action = torch.from_numpy(frames["action"][:-1].copy()).unsqueeze(1)
        targets = actuator_targets(controller, now.joint_position, action)
        found = dict(tensors(simulator.step(targets, simulator.substeps).state))
        for name, expected in tensors(after):
            error = (found[name] - expected).flatten(1).norm(dim=-1)
            if name in bound:
                assert error.quantile(0.95) < bound[name], name
                assert error.median() < bound[name] / 6, name


def test_even_episodes_pick_and_odd_ones_yield(demonstrations: list[Frames]) -> None:
    closed = [bool((frames["action"][:, 6] < 0.04).any()) for frames in demonstrations]
    assert not any(closed[1::2])
    assert sum(closed[0::2]) >= 3


def test_the_same_seed_records_the_same(demonstrations: list[Frames]) -> None:
    short = attrs.evolve(UNDISTURBED, steps=10)
    first, again, other = (record(short, [0, 1], seed) for seed in (4, 4, 5))
    for name in first[0]:
        np.testing.assert_array_equal(first[0][name], again[0][name])
    assert not np.array_equal(first[0]["state.cube_position"], other[0]["state.cube_position"])


def test_a_demonstration_is_the_same_in_any_batch() -> None:
    """To the bit: alone, with others in any order, and where other rows of a tensor are taken."""
    lively = attrs.evolve(UNDISTURBED, jump_probability=0.1, action_noise=(0.1, 0.3))
    few = record(lively, [0, 1], seed=7)
    others = {1: [1], 17: [*range(5, 20), 1, 0], 70: [*range(70)]}
    for count, numbers in others.items():
        found = dict(zip(numbers, record(lively, numbers, seed=7), strict=True))
        assert len(found) == count
        for number in {0, 1} & set(numbers):
            for name, value in few[number].items():
                np.testing.assert_array_equal(found[number][name], value, err_msg=name)


def test_a_batch_may_have_seeds_of_its_own() -> None:
    short = attrs.evolve(UNDISTURBED, steps=10)
    recorder = Recorder([EpisodeKey(4, 1), EpisodeKey(5, 0)], 1, short)
    assert len(list(recorder.run())) == 10
    mixed = list(recorder.demonstrations())
    for found, expected in zip(mixed, (record(short, [1], 4)[0], record(short, [0], 5)[0]),
                               strict=True):  # fmt: skip
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)


def test_the_demonstrator_keeps_its_contract() -> None:
    settings = CollectionSettings(steps=60, jump_probability=0.05, fumble_probability=0.05)
    check_demonstrator(lambda: HandoffDemonstrator(1, settings))


def test_disturbances_move_the_hand_but_not_the_recorded_action() -> None:
    """The recorded action is the expert's for what was seen, whatever then happened."""
    noisy = attrs.evolve(UNDISTURBED, action_noise=(0.1, 0.3), steps=40)
    frames = record(noisy, [1])[0]
    velocity = torch.from_numpy(frames[STATE][1:, 9:12])
    command = torch.from_numpy(frames["action"][:-1, :3])
    calm = record(attrs.evolve(UNDISTURBED, steps=40), [1])[0]
    calm_gap = torch.from_numpy(calm[STATE][1:, 9:12] - calm["action"][:-1, :3])
    assert (velocity - command).norm(dim=-1).mean() > 1.3 * calm_gap.norm(dim=-1).mean()


def test_cubes_jump_as_often_as_asked() -> None:
    jumpy = CollectionSettings(steps=40, jump_probability=0.05)
    moved = [
        np.linalg.norm(np.diff(frames["state.cube_position"], axis=0), axis=-1) > 0.1
        for frames in record(jumpy, list(range(1, 64, 2)))
    ]
    assert 0.03 < np.mean(moved) < 0.07


# -- data sets ----------------------------------------------------------------------------------


def test_windows_of_a_collected_data_set_fit_the_policy(tmp_path: Path) -> None:
    demonstrator = HandoffDemonstrator(1, attrs.evolve(UNDISTURBED, steps=30))
    with DatasetWriter(tmp_path / "data", demonstrator.features, 10, "franka_fr3") as writer:
        records = demonstrator.collect([EpisodeKey(0, n) for n in range(4)], writer)
    assert [record["task"] for record in records] == [PICK, YIELD, PICK, YIELD]
    assert all(record["success"] and record["frames"] == 30 for record in records)
    dataset = DemonstrationDataset.load(tmp_path / "data")
    assert (dataset.episodes, dataset.frames, dataset.fps) == (4, 120, 10)
    assert dataset.episode_tasks == (PICK, YIELD, PICK, YIELD)
    windows = segments(dataset, ACTION_SPEC.horizon, tuple(SHAPES))
    batch = windows.gather(torch.tensor([0, 29, 30, 119]))
    assert batch.actions.shape == (4, 16, 7)
    shapes = {name: value.shape for name, value in batch.observation.items()}
    assert shapes == {name: (4, 1, *shape) for name, shape in SHAPES.items()}
    actions = torch.tensor(dataset.arrays["action"])
    torch.testing.assert_close(batch.actions[0], actions[:16])
    torch.testing.assert_close(batch.actions[1], actions[29].expand(16, 7))  # the last, repeated
    torch.testing.assert_close(batch.actions[2], actions[30:46])


def test_codi_collect_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("codi_franka.rendering.reach_picture") is None:
        pytest.skip("the pictures of codi_franka.rendering are missing")
    install_franka(tmp_path / "site", monkeypatch)
    monkeypatch.chdir(tmp_path)
    arguments = ["--task", "franka-handoff", "--episodes", "4", "--worlds", "4", "--seed", "2",
                 "--output", "demos", "--physics-threads", "1"]  # fmt: skip
    assert collect(arguments) == 0
    dataset = DemonstrationDataset.load("demos")
    assert (dataset.episodes, dataset.frames) == (4, 2000)
    assert dataset.robot_type == "franka_fr3"
    document = json.loads(Path("demos/collection.json").read_text())
    assert [record["frames"] for record in document["demonstrations"]] == [500] * 4
    assert sum(record["picks"] for record in document["demonstrations"][::2]) >= 4
    assert all(record["picks"] == 0 for record in document["demonstrations"][1::2])
    assert Path("demos/initial_cube_positions.png").stat().st_size > 5000


@pytest.mark.parametrize("option", ["--goal=0.3", "--start=0", "--no-guard", "--no-randomize"])
def test_options_that_demonstrations_ignore_are_not_offered(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(["--task", "franka-handoff", "--output", "demos", option]) == 2
    assert option.partition("=")[0] in capsys.readouterr().err
