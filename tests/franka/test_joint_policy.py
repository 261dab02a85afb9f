"""What joint demonstrations are for: restored frames, and a policy that moves both arms."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

from codi_core import experiments
from codi_core.cli.train import main as train
from codi_core.data import DatasetWriter
from codi_core.errors import CheckpointError, DatasetError
from codi_core.policies import observation_feature
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_franka.action import actuator_targets
from codi_franka.collection.expert import Phase
from codi_franka.collection.frames import joint_frame
from codi_franka.collection.joint_demonstrator import JOINT_SETTINGS, HandoffJointDemonstrator
from codi_franka.collection.recorder import Frames, Recorder
from codi_franka.collection.two_arms import TwoArms
from codi_franka.handoff.options import HandoffOptions
from codi_franka.observation import observe
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.policies import shipped
from codi_franka.prediction.kinematic import KinematicPredictor
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, holding, tcp_in_world
from codi_franka.task import HandoffTask

CALM = attrs.evolve(
    JOINT_SETTINGS, steps=60, jump_probability=0.0, jump_anywhere=0.0, fumble_probability=0.0,
    action_noise=(0.0, 0.0), start_anywhere=0.0,
)  # fmt: skip
GOAL = (0.3, 0.1)


@pytest.fixture(scope="module")
def demonstrations() -> list[Frames]:
    keys = [EpisodeKey(8, number) for number in range(16)]
    recorder = Recorder(keys, 1, CALM, TwoArms, joint_frame)
    carried = torch.zeros(len(keys), dtype=torch.bool)
    script = recorder.script
    assert isinstance(script, TwoArms)
    for _ in recorder.run():
        carried |= (script.phase == Phase.CARRY).any(0)[: len(keys)]
    assert carried.float().mean() > 0.5
    return [frames for frames in recorder.demonstrations() if frames is not None]


def tensors(demonstrations: list[Frames], rows: slice) -> dict[str, Tensor]:
    """The same frames of all demonstrations, (n, size) each."""
    return {
        name: torch.from_numpy(np.concatenate([frames[name][rows] for frames in demonstrations]))
        for name in demonstrations[0]
    }


def restored(frames: dict[str, Tensor]) -> FrankaState:
    restore = HandoffTask().parts(HandoffOptions(goal=GOAL)).restore
    assert restore is not None
    state, observation = restore(frames)
    seen = observe(state, ARMS)
    assert observation.keys() == seen.keys()
    for name, value in observation.items():
        torch.testing.assert_close(value, frames[observation_feature(name)], atol=0, rtol=0)
        torch.testing.assert_close(value, seen[name], atol=2e-5, rtol=0)
    assert isinstance(state, FrankaState)
    return state


# -- restored frames ----------------------------------------------------------------------------


def test_frames_restore_what_was_known(demonstrations: list[Frames]) -> None:
    frames = tensors(demonstrations, slice(0, 60, 7))
    state = restored(frames)
    assert state.goal is not None
    assert state.goal.unique(dim=0).tolist() == [pytest.approx([*GOAL, 0.025])]
    for name in ("joint_position", "joint_velocity", "gripper_width", "cube_position",
                 "cube_quaternion", "cube_velocity"):  # fmt: skip
        value = getattr(state, name)
        torch.testing.assert_close(value.flatten(1), frames[f"state.{name}"], atol=0, rtol=0)
    assert state.joint_position.shape[1:] == (2, 7)
    torch.testing.assert_close(state.joint_position[:, 1], frames["state.joint_position"][:, 7:])


def test_predictions_from_restored_frames_foresee_the_demonstration(
    demonstrations: list[Frames],
) -> None:
    ahead = 8
    state = restored(tensors(demonstrations, slice(10, 11)))
    chunks = tuple(
        torch.stack([torch.from_numpy(demo[f"action.{arm}"][10 : 10 + ahead].copy())
                     for demo in demonstrations]).unsqueeze(1)
        for arm in ARMS
    )  # fmt: skip
    predicted = KinematicPredictor(ARMS).predict(state, chunks).trajectory
    after = restored(tensors(demonstrations, slice(10 + ahead, 11 + ahead)))
    bases = BaseFrames.of(ARMS)
    error = predicted.hand_position[:, 0, -1] - tcp_in_world(after, bases)
    moved = tcp_in_world(after, bases) - tcp_in_world(state, bases)
    assert error.norm(dim=-1).median() < 0.01
    assert moved.norm(dim=-1).max() > 0.2


def test_frames_without_a_feature_are_refused_by_its_name(demonstrations: list[Frames]) -> None:
    restore = HandoffTask().parts(HandoffOptions()).restore
    assert restore is not None
    frames = tensors(demonstrations, slice(0, 1))
    del frames["observation.right.state"]
    with pytest.raises(DatasetError, match=r"'observation\.right\.state'.*--joint"):
        restore(frames)


def test_arms_that_hold_still_keep_the_cube(demonstrations: list[Frames]) -> None:
    hold = HandoffTask().parts(HandoffOptions()).hold
    assert hold is not None
    state = restored(tensors(demonstrations, slice(8, 60, 4)))
    bases, controller = BaseFrames.of(ARMS), EndEffectorController()
    lifted = state.cube_position[:, 2] > 0.06
    held = holding(state, tcp_in_world(state, bases)).any(1) & lifted
    assert held.sum() > 8
    state = state.of_worlds(held.nonzero().squeeze(-1))
    simulator = MujocoSimulator(ARMS, state.worlds, 1)
    simulator.set_state(state)
    now, first = state, hold(state)
    assert all((action[:, :6] == 0).all() for action in first)
    for step in range(15):
        targets = actuator_targets(controller, now.joint_position, torch.stack(hold(now), 1))
        now = simulator.step(targets, simulator.substeps).state
        if step == 4:  # the arms have come to rest
            rest = tcp_in_world(now, bases)
    assert (tcp_in_world(now, bases) - rest).norm(dim=-1).max() < 0.01
    assert holding(now, tcp_in_world(now, bases)).any(1).float().mean() > 0.9
    # The gripper without the cube keeps its width.
    idle = ~holding(state, tcp_in_world(state, bases))
    wide = torch.stack([action[:, 6] for action in first], 1)
    torch.testing.assert_close(wide[idle], state.gripper_width[idle])


# -- the policy ---------------------------------------------------------------------------------


def test_a_joint_demonstration_trains_a_joint_policy(tmp_path: Path) -> None:
    parts = HandoffTask().parts(HandoffOptions())
    assert parts.joint_demonstrator is not None
    made = parts.joint_demonstrator(Resources(threads=1))
    assert isinstance(made, HandoffJointDemonstrator)
    demonstrator = HandoffJointDemonstrator(1, attrs.evolve(CALM, steps=20))
    with DatasetWriter(tmp_path / "data", made.features, parts.rate_hz, made.robot_type) as writer:
        demonstrator.collect([EpisodeKey(0, 0), EpisodeKey(0, 1)], writer)
    arguments = [str(tmp_path / "data"), "--output", str(tmp_path / "run"), "--steps", "2",
                 "--batch-size", "8", "--network", "mlp"]  # fmt: skip
    assert train(arguments) == 0
    trained = tmp_path / "run" / "checkpoint.safetensors"
    product = experiments.prepare("franka-handoff", policy="joint", checkpoint=trained).product()
    assert [factor.agents for factor in product.factors] == [(0, 1)]
    seen = observe(restored_start(), ARMS)
    history = {name: value.unsqueeze(1) for name, value in seen.items()}
    noisy = torch.randn(3, product.size)
    assert product.size == 16 * 14
    denoised = product.denoiser(history)(noisy, torch.tensor(1.0))
    left, right = product.decode(denoised)
    assert left.shape == right.shape == (3, 16, 7)
    assert denoised.isfinite().all()
    with pytest.raises(CheckpointError):  # one arm's policy is none for both
        experiments.prepare("franka-handoff", policy="joint", checkpoint=shipped("arm")).product()


def restored_start() -> FrankaState:
    keys = [EpisodeKey(8, number) for number in range(3)]
    recorder = Recorder(keys, 1, attrs.evolve(CALM, steps=1), TwoArms, joint_frame)
    assert list(recorder.run()) == [1]
    return recorder.simulator.state()
