"""The environment on a simulator that is not MuJoCo, and what MuJoCo's measures."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from codi_core import SimulatorRecord, experiments, hookimpl, register_plugin
from codi_core.errors import SpecificationError, UsageError
from codi_core.host import discovery
from codi_core.resources import Resources
from codi_core.tasks import EpisodeKey
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.rollouts import rollouts_of
from codi_franka.physics.variation import CubeVariation
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS, CUBE_SIZE
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import tcp_in_world
from franka.driving import REST, drive_to_grasp
from franka.scenes import OPEN, SHUT, chunk, joint_chunk, random_chunks, state
from franka.stand_in import StandIn


def keys(*numbers: int) -> list[EpisodeKey]:
    return [EpisodeKey(1, number) for number in numbers]


# -- another simulator --------------------------------------------------------------------------


def test_episodes_start_alike_on_any_simulator() -> None:
    """Where cubes are, what they weigh and what trackers see is the task's matter."""
    ours = FrankaEnvironment(HandoffOptions(), StandIn)
    theirs = FrankaEnvironment(HandoffOptions(), MujocoMaker())
    mine, expected = ours.reset(keys(0, 1, 2)), theirs.reset(keys(0, 1, 2))
    for name in ("cube_position", "cube_quaternion", "joint_position", "goal", "left_only"):
        np.testing.assert_allclose(mine.events[name], expected.events[name], atol=1e-6)
    for name, seen in expected.observation.items():
        torch.testing.assert_close(mine.observation[name], seen, atol=1e-4, rtol=0)
    index = theirs.simulator.index.cube_body
    np.testing.assert_allclose(
        ours.simulator.masses, theirs.simulator.batch.expand("body_mass")[:, index]
    )
    low, high = CubeVariation().mass
    assert low <= ours.simulator.masses.min() < ours.simulator.masses.max() <= high


def test_hands_go_where_their_twists_send_them() -> None:
    """0.1 m/s for half a second, in physics that has no lag."""
    environment = FrankaEnvironment(HandoffOptions(randomize=False), StandIn)
    before = environment.reset(keys(0)).events["hand_position"][0]
    plan = chunk((5, (0.1, 0.0, -0.05), OPEN))
    last = [environment.step((action[None], REST)) for action in plan][-1]
    moved = last.events["hand_position"][0] - before
    np.testing.assert_allclose(moved, [[0.05, 0.0, -0.025], [0.0, 0.0, 0.0]], atol=2e-3)
    assert last.time == pytest.approx(0.5)


def test_a_cube_is_carried_in_the_stand_in_and_its_world_starts_anew() -> None:
    options = HandoffOptions(start=(-0.2, 0.05, 0.2), randomize=False)
    environment = FrankaEnvironment(options, StandIn)
    environment.reset(keys(0))
    step = drive_to_grasp(environment)
    assert not step.events["cube_touched"][0]
    for action in chunk((5, (0.0, 0.0, 0.0), SHUT), (10, (0.0, 0.0, 0.2), SHUT)):
        step = environment.step((action[None], REST))
    assert step.events["cube_touched"][0]
    assert step.events["cube_position"][0, 2] == pytest.approx(CUBE_SIZE / 2 + 0.2, abs=0.01)
    assert not step.events["succeeded"][0]
    again = environment.reset(keys(1), rows=[0], start=(0.3, 0.1, 0.2), goal=(0.25, 0.1))
    assert again.events["succeeded"][0]
    np.testing.assert_allclose(again.events["cube_position"][0], [0.3, 0.1, 0.025], atol=1e-6)


def test_a_simulator_that_measures_nothing_is_refused() -> None:
    environment = FrankaEnvironment(HandoffOptions(), lambda arms, n: MujocoSimulator(arms, n, 1))
    with pytest.raises(SpecificationError, match="does not measure contacts"):
        environment.reset(keys(0))


def test_the_environment_itself_needs_no_mujoco() -> None:
    code = (
        "import sys, codi_franka.handoff.environment, codi_franka.prediction.kinematic\n"
        "import codi_franka.handoff.costs\n"
        "print('mujoco' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- predictors -------------------------------------------------------------------------------


def test_predictors_step_any_simulator() -> None:
    """In the stand-in an arm has no lag: 0.1 m/s for 0.8 s."""
    predictor = PhysicsPredictor(ARMS, rollouts_of(StandIn))
    plan = joint_chunk(chunk((8, (0.1, 0.0, -0.05), OPEN)))
    found = predictor.predict(state(), plan)
    path = found.trajectory.hand_position[0, 0, :, 0]
    home = tcp_in_world(state(), BaseFrames.of(ARMS))[0, 0]
    expected = home + torch.arange(1, 9)[:, None] * torch.tensor([0.01, 0.0, -0.005])
    torch.testing.assert_close(path, expected, atol=3e-3, rtol=0)
    assert found.valid.tolist() == [[True]]
    later = predictor.advance(state(), tuple(each[:, 0] for each in plan))
    torch.testing.assert_close(tcp_in_world(later, BaseFrames.of(ARMS))[0, 0], path[-1])


def predicted(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The cubes and what is valid of some samples, by a predictor's text."""
    predictor = experiments.prepare("franka-handoff", predictor=name, physics_threads=1).predictor()
    found = predictor.predict(state(worlds=2), random_chunks(2, 3, 4))
    return found.trajectory.cube_position, found.valid


def test_predictors_take_a_simulator_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    cube, valid = predicted("mujoco")
    for name in ("physics", "physics:simulator=mujoco", "physics:simulator=mujoco,timestep=0.005"):
        found, sound = predicted(name)
        assert torch.equal(found, cube)
        assert torch.equal(sound, valid)
    made = []

    def factory(resources: Resources, speed: float = 1.0) -> Any:
        made.append((resources.threads, speed))
        return StandIn

    record = SimulatorRecord("stand-in", "no physics", factory)
    monkeypatch.setattr(discovery, "_OWN", {})
    register_plugin(SimpleNamespace(codi_simulators=hookimpl(lambda: [record])))
    still, _ = predicted("physics:simulator=stand-in,speed=2")
    assert made == [(1, 2)]
    torch.testing.assert_close(
        still[..., 0, :], state(worlds=2).cube_position[:, None].expand(2, 3, 3)
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("physics:simulator=mujoca", "unknown simulator 'mujoca'; did you mean 'mujoco'"),
        ("physics:simulator=mujoco,time=1", "simulator 'mujoco' refuses time=1"),
        ("physics:timestep=1", "predictor 'physics' has no option 'timestep'"),
        ("mujoco:simulator=mujoco", "predictor 'mujoco' has no option 'simulator'"),
    ],
)
def test_a_simulators_name_or_option_that_is_wrong(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predicted(name)


# -- MuJoCo's -----------------------------------------------------------------------------------


def test_only_the_chosen_copies_move() -> None:
    simulator = MujocoMaker()(ARMS, 3)
    simulator.set_state(state(worlds=3))
    targets = torch.zeros(2, 16)
    targets[:, 0], targets[:, [7, 15]] = 0.5, OPEN
    rows = torch.tensor([0, 2])
    moved = simulator.step(targets, simulator.substeps, rows)
    assert moved.state.worlds == len(moved.valid) == len(moved.hand_distance) == 2
    now = simulator.state()
    torch.testing.assert_close(now.of_worlds(rows).joint_position, moved.state.joint_position)
    home = state().joint_position[0]
    torch.testing.assert_close(now.joint_position[1], home)
    assert (now.joint_position[rows, 0, 0] - home[0, 0] > 0.01).all()


def test_a_look_takes_no_time() -> None:
    simulator = MujocoMaker()(ARMS, 2)
    falling = state(cube=(0.0, 0.0, 0.5), worlds=2)
    simulator.set_state(falling)
    first, second = (simulator.step(torch.zeros(2, 16), 0) for _ in range(2))
    torch.testing.assert_close(first.state.cube_position, falling.cube_position)
    torch.testing.assert_close(second.state.cube_velocity, torch.zeros(2, 6))
    assert torch.equal(first.hand_distance, second.hand_distance)


def test_a_single_arm_is_measured_as_well() -> None:
    simulator = MujocoMaker()(("left",), 1)
    seen = simulator.step(torch.zeros(1, 8), 1)
    assert seen.arm_contact.tolist() == [False]
    assert seen.hand_distance.tolist() == [2.0]


def test_the_timestep_can_be_chosen() -> None:
    simulator = MujocoMaker(timestep=0.005)(ARMS, 1)
    assert simulator.substeps == 20
    assert simulator.model.opt.timestep == 0.005
