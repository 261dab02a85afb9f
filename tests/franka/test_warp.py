"""MuJoCo Warp, on the CPU: the contract of simulators, cubes, buffers, and the task in it.

The first run compiles its kernels, which takes a minute or two; they are kept in the environment.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codi_core import experiments
from codi_core.tasks import EpisodeKey
from codi_franka.action import actuator_targets
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.simulator import CubeProperties
from codi_franka.robot.cell import ARMS, CUBE_MASS
from codi_franka.robot.controller import EndEffectorController
from codi_franka.testing import check_handoff_simulator
from franka.scenes import random_chunks, state

pytest.importorskip("mujoco_warp")
from codi_franka.physics.warp_simulator import WarpMaker, WarpRollouts


@pytest.fixture(scope="module")
def maker() -> WarpMaker:
    return WarpMaker()


@pytest.fixture(autouse=True)
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo leaves MUJOCO_LOG.TXT behind where a simulation diverges."""
    monkeypatch.chdir(tmp_path)


def test_it_keeps_the_contract(maker: WarpMaker) -> None:
    """To the bit where calls repeat; within 1e-5 to 1e-4 of MuJoCo over 10 to 160 steps."""
    check_handoff_simulator(maker)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_it_keeps_the_contract_on_a_gpu() -> None:
    """Where sums are added up in another order each time, calls repeat to 1e-5 only."""
    check_handoff_simulator(WarpMaker("cuda"), repeats_within=1e-5)


def test_environments_are_simulated_where_plans_are_made() -> None:
    experiment = experiments.prepare("franka-handoff", simulator="mujoco-warp", device="meta")
    environment = experiment.environment()
    assert isinstance(environment, FrankaEnvironment)
    assert isinstance(environment.make_simulator, WarpMaker)
    assert environment.make_simulator.device == "meta"


def test_cubes_differ_as_mujocos_do(maker: WarpMaker) -> None:
    """Smooth ones slide farther: to a micrometre in 0.1 s, to a millimetre once they rest."""
    mass = torch.tensor([CUBE_MASS, 2 * CUBE_MASS, 0.5 * CUBE_MASS], dtype=torch.float64)
    friction = torch.tensor([1.0, 0.7, 1.2], dtype=torch.float64)
    sliding = state(cube=(0.0, 0.0, 0.025), worlds=3)
    sliding.cube_velocity[:, 1] = 1.0
    found = []
    for make in (maker, MujocoMaker()):
        simulator = make(ARMS, 3)
        simulator.set_state(sliding, cube=CubeProperties(mass, friction))
        targets = torch.zeros(3, 16)
        targets[:, [7, 15]] = 0.08
        path = [simulator.step(targets, 10).state.cube_position for _ in range(3)]
        found.append(torch.stack(path))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found[0][2], found[1][2], atol=2e-3, rtol=0)
    ours = found[0][0]
    assert ours[1, 1] > ours[0, 1] + 0.01 > ours[2, 1] + 0.01
    rows = torch.tensor([2])
    again = CubeProperties(mass[1:2], friction[1:2])
    simulator = maker(ARMS, 3)
    simulator.set_state(sliding, cube=CubeProperties(mass, friction))
    simulator.set_state(sliding.of_worlds(rows), rows, again)
    seen = simulator.step(targets, 10)
    torch.testing.assert_close(seen.state.cube_position[2], seen.state.cube_position[1])


def test_states_are_shared_with_torch(maker: WarpMaker) -> None:
    """What is written into the tensors is what physics goes on from."""
    copies = maker(ARMS, 2)._copies
    assert copies.qpos.data_ptr() == copies._d.qpos.ptr
    assert copies.ctrl.data_ptr() == copies._d.ctrl.ptr


def test_what_does_not_fit_the_buffers_is_invalid(maker: WarpMaker) -> None:
    """A cube that lies on the table takes 16 rows of constraints, besides the fingers' two."""
    narrow = WarpMaker(rows=17)
    start = state(worlds=2)
    start.cube_position[1, 2] = 0.5
    seen = {}
    for name, make in (("narrow", narrow), ("usual", maker)):
        simulator = make(ARMS, 2)
        simulator.set_state(start)
        seen[name] = simulator.step(torch.zeros(2, 16), 10).valid.tolist()
    assert seen == {"narrow": [False, True], "usual": [True, True]}


def test_episodes_go_on_as_in_mujoco(maker: WarpMaker) -> None:
    """Starts, cubes, what is seen, and a second of random actions; then one world anew."""
    theirs, ours = (FrankaEnvironment(HandoffOptions(), make) for make in (MujocoMaker(), maker))
    keys = [EpisodeKey(1, 0), EpisodeKey(1, 1)]
    chunks = random_chunks(2, 1, 10, seed=3)
    for environment in (theirs, ours):
        environment.reset(keys)
    for step in range(10):
        expected, found = (
            environment.step(tuple(chunk[:, 0, step] for chunk in chunks))
            for environment in (theirs, ours)
        )
    for name in ("cube_position", "joint_position", "gripper_width", "hand_distance_m"):
        np.testing.assert_allclose(found.events[name], expected.events[name], atol=2e-3)
    for name in ("arm_contact", "cube_touched", "failed", "succeeded"):
        np.testing.assert_array_equal(found.events[name], expected.events[name])
    again, there = (e.reset([EpisodeKey(1, 2)], rows=[1]) for e in (ours, theirs))
    np.testing.assert_allclose(
        again.events["cube_position"][1], there.events["cube_position"][1], atol=1e-6
    )
    np.testing.assert_allclose(
        again.events["cube_position"][0], found.events["cube_position"][0], atol=1e-6
    )


def test_predictors_roll_out_there_as_on_the_cpu() -> None:
    """The light model, the controller between its steps; on a GPU that is one graph."""
    start, chunks = state(worlds=2), random_chunks(2, 4, 8)
    found, expected = (
        experiments.prepare("franka-handoff", predictor=name, physics_threads=1)
        .predictor()
        .predict(start, chunks)
        for name in ("physics:simulator=mujoco-warp", "mujoco")
    )
    for name in ("hand_position", "gripper_width", "cube_position"):
        torch.testing.assert_close(
            getattr(found.trajectory, name), getattr(expected.trajectory, name), atol=1e-3, rtol=0
        )
    assert torch.equal(found.valid, expected.valid)


def test_rollouts_follow_what_a_controller_commands(maker: WarpMaker) -> None:
    """Step by step, with targets from the state before, it comes to the same."""
    rollouts = maker.rollouts(ARMS, 1)
    assert isinstance(rollouts, WarpRollouts)
    actions = torch.stack([chunk[0, 0] for chunk in random_chunks(1, 1, 3)], 1)[None]
    followed = rollouts.follow(state(), actions)
    copies = rollouts._copies
    copies.place(state())
    joints = state().joint_position
    for step in range(3):
        controller = EndEffectorController(passes=1)
        copies.ctrl[:] = actuator_targets(controller, joints, actions[:, step])
        copies.advance(rollouts.substeps)
        joints = copies.read().joint_position
    torch.testing.assert_close(followed.joint_position[:, -1], joints, atol=1e-6, rtol=0)
