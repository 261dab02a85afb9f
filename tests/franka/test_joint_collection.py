"""Joint demonstrations: who engages, how the cube is handed over, and what is recorded."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core.evaluation.recorder import state_values
from codi_core.policies import observation_feature
from codi_core.tasks import EpisodeKey
from codi_core.testing import check_demonstrator
from codi_franka.collection.expert import Phase
from codi_franka.collection.frames import joint_features, joint_frame
from codi_franka.collection.joint_demonstrator import JOINT_SETTINGS, HandoffJointDemonstrator
from codi_franka.collection.recorder import Frames, Recorder
from codi_franka.collection.settings import CollectionSettings
from codi_franka.collection.two_arms import NOBODY, TwoArms
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.handoff.starts import which_arms_grasp
from codi_franka.observation import observe
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.robot.cell import ARMS
from codi_franka.robot.reach import OUTER_RADIUS
from codi_franka.state import FrankaState
from codi_franka.workspace import across, graspable

CALM = attrs.evolve(
    JOINT_SETTINGS, steps=240, jump_probability=0.0, jump_anywhere=0.0, fumble_probability=0.0
)
LIVELY = attrs.evolve(JOINT_SETTINGS, steps=60, jump_probability=0.1, fumble_probability=0.05)


def joint_recorder(numbers: range | list[int], settings: CollectionSettings) -> Recorder:
    keys = [EpisodeKey(3, number) for number in numbers]
    return Recorder(keys, 1, settings, TwoArms, joint_frame)


def record(numbers: range | list[int], settings: CollectionSettings) -> list[Frames]:
    recorder = joint_recorder(numbers, settings)
    assert len(list(recorder.run())) == settings.steps
    return [frames for frames in recorder.demonstrations() if frames is not None]


@attrs.define
class Watched:
    """What a batch did, step by step: tensors (T, n, ...)."""

    recorder: Recorder
    phase: Tensor
    turn: Tensor
    goal: Tensor
    cube: Tensor
    goals_reached: Tensor
    handovers: Tensor


def watch(numbers: range, settings: CollectionSettings) -> Watched:
    recorder = joint_recorder(numbers, settings)
    script, rows = recorder.script, len(numbers)
    assert isinstance(script, TwoArms)
    kept = []
    for _ in recorder.run():
        cube = recorder.simulator.state().cube_position[:, :2] + torch.tensor((0.65, 0.0))
        values = (script.phase.T, script.turn, script.goal, cube, *script.counts.values())
        kept.append([value[:rows].clone() for value in values])
    return Watched(recorder, *(torch.stack(values) for values in zip(*kept, strict=True)))


@pytest.fixture(scope="module")
def calm() -> Watched:
    return watch(range(48), CALM)


@pytest.fixture(scope="module")
def lively() -> Watched:
    return watch(range(24), attrs.evolve(LIVELY, steps=100))


def out_of_one_reach(xy: Tensor) -> Tensor:
    """Which arms do not reach points (..., 2) of the left arm's base frame: (..., 2)."""
    return torch.stack([~graspable(each, OUTER_RADIUS) for each in (xy, across(xy))], -1)


# -- what the arms do ---------------------------------------------------------------------------


def test_the_expert_reaches_its_first_goal(calm: Watched) -> None:
    assert (calm.goals_reached[-1] > 0).float().mean() >= 0.95
    placed = calm.goals_reached.diff(dim=0).nonzero()
    error = calm.cube[1:][tuple(placed.T)] - calm.goal[:-1][tuple(placed.T)]
    assert len(placed) > 48
    assert error.norm(dim=-1).median() < 0.015


def test_one_arm_at_most_engages(calm: Watched, lively: Watched) -> None:
    for watched in (calm, lively):
        engaged = watched.phase <= Phase.OPEN
        assert engaged.sum(-1).max() == 1
        # And it is the one whose turn it is.
        time, world, arm = engaged.nonzero().T
        assert (watched.turn[time, world] == arm).all()
        assert engaged.any(-1).float().mean() > 0.6


def test_arms_do_not_touch_each_other(calm: Watched, lively: Watched) -> None:
    assert calm.recorder.contacts.sum() == lively.recorder.contacts.sum() == 0


def test_both_arms_take_cubes_that_both_reach(calm: Watched) -> None:
    starts = watch(range(400, 640), attrs.evolve(CALM, steps=1))
    shared = ~out_of_one_reach(starts.cube[0]).any(-1)
    left = (starts.turn[0][shared] == 0).float().mean()
    assert shared.sum() > 40
    assert left == pytest.approx(0.5, abs=4 * 0.5 / shared.sum().sqrt().item())
    alone = out_of_one_reach(starts.cube[0])
    for arm in (0, 1):
        assert (starts.turn[0][alone[:, 1 - arm]] == arm).all()


def test_the_cube_is_handed_over_where_one_arm_does_not_reach_the_goal(calm: Watched) -> None:
    """It is put down where both reach, and the arm that put it down goes home."""
    cannot = out_of_one_reach(calm.goal)
    gave = calm.handovers.diff(dim=0).nonzero()
    assert len(gave) > 20
    takers = 0
    for time, world in gave.tolist():
        giver = int(calm.turn[time, world])
        assert cannot[time, world, giver]
        assert not out_of_one_reach(calm.cube[time + 1, world]).any()
        later = calm.turn[time + 1 :, world]
        assert later[0] == NOBODY
        if (later != NOBODY).any():
            taker = int(later[later != NOBODY][0])
            assert taker == 1 - giver
            takers += 1
    assert takers > 20
    never = ~cannot.any(-1).any(0)  # both arms reach all goals of these
    assert (calm.handovers[-1, never] == 0).all()


def test_an_arm_sets_out_when_the_other_one_is_clear(calm: Watched) -> None:
    frames = [demo for demo in calm.recorder.demonstrations() if demo is not None]
    for world, demo in enumerate(frames):
        for arm, name in enumerate(ARMS):
            phase = calm.phase[:, world, arm]
            starts = (phase[1:] == Phase.APPROACH) & (phase[:-1] == Phase.IDLE)
            other = demo[f"observation.{ARMS[1 - arm]}.environment_state"][1:, 9:12]
            assert (np.linalg.norm(other[starts.numpy()], axis=-1) > 0.29).all(), name


# -- what is recorded ---------------------------------------------------------------------------


def test_frames_have_the_layout_of_recordings() -> None:
    environment = FrankaEnvironment(HandoffOptions(), MujocoMaker(1))
    step = environment.reset([EpisodeKey(0, 0)])
    seen = {observation_feature(name): value for name, value in step.observation.items()}
    expected = {**state_values(step.state, 1), **{k: v.numpy() for k, v in seen.items()}}
    features = joint_features()
    actions = {"action": 14, "action.left": 7, "action.right": 7}
    assert features.keys() == (expected.keys() - {"state.goal"}) | actions.keys()
    for name, spec in features.items():
        size = actions[name] if name in actions else expected[name].shape[1]
        assert spec.shape == (size,), name
        assert spec.names is not None
        assert len(spec.names) == size


def test_recorded_observations_are_those_of_the_recorded_estimates() -> None:
    for frames in record([0, 1], LIVELY):
        fields = {
            name.removeprefix("state."): torch.from_numpy(value.copy())
            for name, value in frames.items()
            if name.startswith("state.")
        }
        joints = {
            name: fields.pop(name).unflatten(1, (2, 7))
            for name in ("joint_position", "joint_velocity")
        }
        for name, value in observe(FrankaState(**fields, **joints), ARMS).items():
            np.testing.assert_allclose(frames[observation_feature(name)], value, atol=2e-5)
        both = np.concatenate([frames[f"action.{arm}"] for arm in ARMS], 1)
        np.testing.assert_array_equal(frames["action"], both)


def test_a_demonstration_is_the_same_in_any_batch() -> None:
    few = record([0, 1], LIVELY)
    for numbers in ([1], [*range(5, 12), 1, 0], [*range(65)]):
        found = dict(zip(numbers, record(numbers, LIVELY), strict=True))
        for number in {0, 1} & set(numbers):
            for name, value in few[number].items():
                np.testing.assert_array_equal(found[number][name], value, err_msg=name)


def test_the_demonstrator_keeps_its_contract() -> None:
    check_demonstrator(lambda: HandoffJointDemonstrator(1, attrs.evolve(LIVELY, steps=40)))


def test_records_tell_what_happened(tmp_path: Path) -> None:
    written: list[Frames] = []

    class Writer:
        def add_episode(self, frames: Frames, task: str) -> None:
            written.append(frames)

    demonstrator = HandoffJointDemonstrator(1, attrs.evolve(CALM, steps=150))
    keys = [EpisodeKey(3, number) for number in range(12)]
    records = demonstrator.collect(keys, Writer())  # type: ignore[arg-type]
    for record, frames in zip(records, written, strict=True):
        assert record["success"] == (record["goals"] > 0)
        assert record["frames"] == len(frames["action"]) == 150
        assert record["start"] == pytest.approx(frames["state.cube_position"][0].tolist())
    assert sum(record["handovers"] for record in records) > 2
    assert sum(record["picks"] for record in records) >= 12
    assert [record["contacts"] for record in records] == [0] * 12
    (picture,) = demonstrator.report(records, tmp_path)
    assert picture.stat().st_size > 5000
    assert which_arms_grasp(torch.tensor([record["start"][:2] for record in records])).any()
