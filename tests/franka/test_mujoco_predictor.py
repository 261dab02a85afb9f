"""The predictor with full physics: batches, divergence, and the environment as the truth."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import attrs
import mujoco
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.tasks import EpisodeKey
from codi_franka.action import actuator_targets
from codi_franka.handoff.environment import FrankaEnvironment
from codi_franka.handoff.options import HandoffOptions
from codi_franka.physics.model import build_model
from codi_franka.physics.model_index import ModelIndex, initial_state, set_point_leads
from codi_franka.physics.mujoco_maker import MujocoMaker
from codi_franka.physics.mujoco_rollouts import MujocoRollouts
from codi_franka.physics.mujoco_simulator import MujocoSimulator
from codi_franka.physics.nominal import SUBSTEPS, Lightness, build_nominal_model
from codi_franka.prediction.physics import PhysicsPredictor
from codi_franka.robot.cell import ARMS
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.frames import BaseFrames
from codi_franka.state import FrankaState, tcp_in_world, tensors
from franka.driving import drive_to_grasp
from franka.scenes import OPEN, SHUT, chunk, joint_chunk, random_chunks, state

CUBE = (-0.2, 0.05, 0.025)
FIELDS = ("hand_position", "gripper_width", "cube_position")


@pytest.fixture(scope="module")
def predictor() -> PhysicsPredictor:
    return PhysicsPredictor(ARMS, MujocoRollouts)


@pytest.fixture(scope="module")
def detailed() -> PhysicsPredictor:
    """On the environment's own model."""
    return PhysicsPredictor(ARMS, partial(MujocoRollouts, model=build_model(ARMS)))


@pytest.fixture
def in_a_fresh_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo leaves MUJOCO_LOG.TXT behind where a simulation diverges."""
    monkeypatch.chdir(tmp_path)


def three_worlds() -> FrankaState:
    parts = [
        dict(tensors(world))
        for world in (
            state(cube=CUBE, hands=(CUBE, None)),
            state(cube=(0.3, -0.2, 0.025)),
            state(cube=(-0.2, 0.0, 0.2), hands=((-0.2, 0.0, 0.2), None), width=0.05),
        )
    ]
    return FrankaState(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})


def poisoned(start: FrankaState, name: str, value: float, world: int) -> FrankaState:
    """A world that physics can't go on with."""
    field = getattr(start, name).clone()
    field[world] = value
    return attrs.evolve(start, **{name: field})


def test_samples_of_one_world_equal_worlds_of_one_sample(predictor: PhysicsPredictor) -> None:
    start, chunks = three_worlds(), random_chunks(3, 4, 6)
    many = predictor.predict(start, chunks)
    flat = tuple(value.flatten(0, 1).unsqueeze(1) for value in chunks)
    each = predictor.predict(start.repeat(4), flat)
    for name in FIELDS:
        found = getattr(many.trajectory, name)
        assert found.shape[:3] == (3, 4, 6)
        torch.testing.assert_close(
            found.flatten(0, 1), getattr(each.trajectory, name)[:, 0], atol=1e-6, rtol=0
        )
    assert many.valid.shape == (3, 4)
    assert many.valid.all()


def test_predicting_again_gives_the_same(predictor: PhysicsPredictor) -> None:
    """Nothing of one prediction, such as a diverged or a touched world, is left in the next."""
    start, chunks = three_worlds(), random_chunks(3, 2, 6)
    first = predictor.predict(start, chunks).trajectory
    predictor.predict(start, random_chunks(3, 2, 6, seed=9))
    again = predictor.predict(start, chunks).trajectory
    for name in FIELDS:
        torch.testing.assert_close(getattr(again, name), getattr(first, name), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cube_velocity", 1e11), ("joint_velocity", 1e4), ("cube_position", float("nan"))],
)
@pytest.mark.usefixtures("in_a_fresh_folder")
def test_a_diverged_simulation_is_marked_invalid_and_the_others_are_not(
    predictor: PhysicsPredictor, name: str, value: float
) -> None:
    start, chunks = three_worlds(), random_chunks(3, 2, 4)
    found = predictor.predict(poisoned(start, name, value, 1), chunks)
    sound = predictor.predict(start, chunks)
    assert found.valid.tolist() == [[True] * 2, [False] * 2, [True] * 2]
    assert sound.valid.all()
    for field in FIELDS:
        values = getattr(found.trajectory, field)
        assert values.isfinite().all()
        torch.testing.assert_close(
            values[[0, 2]], getattr(sound.trajectory, field)[[0, 2]], atol=1e-6, rtol=0
        )


def test_wild_samples_are_saturated_and_stay_sound(predictor: PhysicsPredictor) -> None:
    """At a noise level of 40, commands lie far outside all limits."""
    moderate = random_chunks(3, 8, 8, seed=2)
    wild = tuple(40.0 * value for value in moderate)
    found = predictor.predict(three_worlds(), wild)
    path = found.trajectory
    # Nothing diverges: what is forbidden went too far from the table or from its shoulder.
    shoulders = torch.tensor([[-0.65, 0.0, 0.333], [0.65, 0.0, 0.333]])
    stretched = (path.hand_position - shoulders).norm(dim=-1) > 0.84
    left = (stretched | (path.hand_position[..., 2] > 0.55)).any(-1).any(-1)
    assert found.valid.any()
    assert torch.equal(found.valid, ~left)
    assert path.hand_position.isfinite().all()
    assert path.hand_position.diff(dim=2).norm(dim=-1).max() < 0.1  # 0.5 m/s for 0.1 s, and lag
    assert path.gripper_width.min() > -0.01
    assert path.gripper_width.max() < 0.095


def test_the_same_action_after_saturation_has_the_same_effect(predictor: PhysicsPredictor) -> None:
    direction = torch.tensor([0.6, 0.0, 0.8])
    paths = []
    for speed in (0.5, 50.0):
        plan = chunk((4, tuple((speed * direction).tolist()), OPEN * speed / 0.5))
        paths.append(predictor.predict(state(), joint_chunk(plan)).trajectory.hand_position)
    torch.testing.assert_close(*paths, atol=1e-4, rtol=0)


# -- against the environment --------------------------------------------------------------------


@pytest.fixture(scope="module")
def about_to_grasp() -> tuple[FrankaEnvironment, FrankaState]:
    """The left hand around the cube, as the environment got there."""
    options = HandoffOptions(start=(CUBE[0], CUBE[1], 0.2), randomize=False)
    environment = FrankaEnvironment(options, MujocoMaker(1))
    environment.reset([EpisodeKey(0, 0)])
    step = drive_to_grasp(environment)
    hand = step.events["hand_position"][0, 0]
    assert abs(hand - step.events["cube_position"][0]).max() < 0.01
    return environment, step.state


def lift_and_carry() -> tuple[Tensor, Tensor]:
    left = chunk(
        (4, (0.0, 0.0, 0.0), SHUT), (5, (0.0, 0.0, 0.25), SHUT), (7, (0.25, -0.1, 0.0), SHUT)
    )
    right = chunk((16, (-0.05, 0.05, 0.05), OPEN))
    return joint_chunk(left, right)


def test_foresees_what_the_environment_does(
    predictor: PhysicsPredictor,
    detailed: PhysicsPredictor,
    about_to_grasp: tuple[FrankaEnvironment, FrankaState],
) -> None:
    """On the environment's model to 3 mm, on the light one to 6 mm; both see the grasp hold."""
    environment, start = about_to_grasp
    plan = lift_and_carry()
    rows = [environment.step(tuple(c[:, 0, k] for c in plan)).state for k in range(16)]
    cube = torch.stack([row.cube_position[0] for row in rows])
    assert cube[-1, 2] > 0.08  # it was lifted
    assert cube[-1, 0] > CUBE[0] + 0.1
    hands = torch.cat([tcp_in_world(row, environment.bases) for row in rows])
    width = torch.cat([row.gripper_width for row in rows])
    for foreseeing, off in ((detailed, 3e-3), (predictor, 6e-3)):
        path = foreseeing.predict(start, plan).trajectory
        torch.testing.assert_close(path.cube_position[0, 0], cube, atol=off, rtol=0)
        torch.testing.assert_close(path.hand_position[0, 0], hands, atol=off, rtol=0)
        torch.testing.assert_close(path.gripper_width[0, 0], width, atol=2e-3, rtol=0)


def test_the_light_model_has_the_state_of_the_environments() -> None:
    light, full = build_nominal_model(ARMS), build_model(ARMS)
    for sizes in ("nq", "nv", "nu", "na", "nbody"):
        assert getattr(light, sizes) == getattr(full, sizes)
    ratio = light.actuator_gainprm[:, 0] / full.actuator_gainprm[:, 0]
    np.testing.assert_allclose(ratio, [*[0.5] * 7, 0.2] * 2)
    driven = ModelIndex.of(full).arms[0].joint_ctrl
    lags = [set_point_leads(model, driven) for model in (light, full)]
    np.testing.assert_allclose(*lags)  # a joint follows as late as in the environment
    assert round(0.1 / light.opt.timestep) == SUBSTEPS


def test_a_step_of_the_light_model_is_the_implicit_one() -> None:
    """(M + h B + h^2 K) a = K (u' - q - h v) - B v - c, with the springs of the explicit model."""
    light, explicit = (
        build_nominal_model(("left",), Lightness(implicit=implicit)) for implicit in (True, False)
    )
    step, arm = light.opt.timestep, ModelIndex.of(light).arms[0]
    rng = np.random.default_rng(0)
    q, act, _ = initial_state(light, np.array(HOME))
    v, u = np.zeros(light.nv), np.zeros(light.nu)
    v[arm.joint_qvel] = rng.uniform(-0.05, 0.05, 7)
    act += rng.uniform(-2e-3, 2e-3, 7)  # within the torque limits
    u[arm.joint_ctrl], u[arm.gripper_ctrl] = rng.uniform(-0.05, 0.05, 7), q[arm.finger_qpos].sum()

    stiffness = explicit.actuator_gainprm[arm.joint_ctrl, 0]
    damping = explicit.dof_damping[arm.joint_qvel] - explicit.actuator_biasprm[arm.joint_ctrl, 2]
    inertia, bias = inertia_and_bias(explicit, q, v)
    added = light.dof_armature - explicit.dof_armature  # which includes the fingers'
    added[arm.joint_qvel] = step * damping + step**2 * stiffness
    ends = act + step * u[arm.joint_ctrl]
    force = -bias
    force[arm.joint_qvel] += (
        stiffness * (ends - q[arm.joint_qpos] - step * v[arm.joint_qvel])
        - damping * v[arm.joint_qvel]
    )
    expected = np.linalg.solve(inertia + np.diag(added), force)
    light.eq_active0[:] = False  # the fingers' coupling is a constraint, not a spring
    found = stepped(light, q, v, act, u)
    np.testing.assert_allclose((found - v) / step, expected, atol=1e-8)


def test_the_light_models_fingers_show_their_springs_inertia() -> None:
    """Together, as they move: of the width, w = 2 q, the spring's share is 4 (h b + h^2 k)."""
    light, explicit = (
        build_nominal_model(("left",), Lightness(implicit=implicit)) for implicit in (True, False)
    )
    step, arm = light.opt.timestep, ModelIndex.of(light).arms[0]
    added = (light.dof_armature - explicit.dof_armature)[arm.finger_qvel]
    stiffness = explicit.actuator_gainprm[arm.gripper_ctrl, 0]
    damping = -explicit.actuator_biasprm[arm.gripper_ctrl, 2]
    own = explicit.dof_damping[arm.finger_qvel]
    expected = 4 * (step * damping + step**2 * stiffness) + step * own.sum()
    np.testing.assert_allclose(added.sum(), expected)
    np.testing.assert_allclose(added[0], added[1])
    damped = -light.actuator_biasprm[arm.gripper_ctrl, 2]
    np.testing.assert_allclose(damped, damping + step * stiffness)


def inertia_and_bias(
    model: mujoco.MjModel, q: NDArray[np.float64], v: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M (nv, nv) and c (nv,) of a state."""
    data = mujoco.MjData(model)
    data.qpos, data.qvel = q, v
    mujoco.mj_forward(model, data)
    whole = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, whole)
    return whole, data.qfrc_bias.copy()


def stepped(model: mujoco.MjModel, *state: NDArray[np.float64]) -> NDArray[np.float64]:
    """The velocities after a step from positions, velocities, set points and commands."""
    data = mujoco.MjData(model)
    data.qpos, data.qvel, data.act, data.ctrl = state
    mujoco.mj_step(model, data)
    found: NDArray[np.float64] = data.qvel.copy()
    return found


def test_a_cube_that_falls_on_the_table_is_not_lost(predictor: PhysicsPredictor) -> None:
    """It sinks in by as much as it falls in a step, and comes to rest on the table."""
    start = state(cube=(0.0, 0.4, 0.3))
    still = tuple(torch.zeros(1, 1, 10, 7) for _ in ARMS)
    found = predictor.predict(start, still)
    height = found.trajectory.cube_position[0, 0, :, 2]
    assert found.valid.all()
    torch.testing.assert_close(height[-1], torch.tensor(0.025), atol=2e-3, rtol=0)


def test_a_cube_falls_in_the_light_model_also_after_another_diverged(
    predictor: PhysicsPredictor,
) -> None:
    """Gravity is off there: the cube's weight is applied, which MuJoCo's own reset takes away."""
    start = attrs.evolve(three_worlds(), cube_position=torch.tensor([[0.0, 0.4, 0.6]] * 3))
    chunks = tuple(torch.zeros(3, 1, 3, 7) for _ in ARMS)
    predictor.predict(poisoned(start, "cube_velocity", 1e11, 1), chunks)
    height = predictor.predict(start, chunks).trajectory.cube_position[:, 0, :, 2]
    seconds = torch.tensor([0.1, 0.2, 0.3])
    fallen = 0.5 * 9.81 * seconds * (seconds + 0.1 / SUBSTEPS)  # the speed at each step's end
    torch.testing.assert_close(height, (0.6 - fallen).expand(3, -1), atol=1e-3, rtol=0)


def test_advance_ends_where_predict_does(predictor: PhysicsPredictor) -> None:
    start, chunks = three_worlds(), random_chunks(3, 1, 4, seed=4)
    path = predictor.predict(start, chunks).trajectory
    later = predictor.advance(start, tuple(value[:, 0] for value in chunks))
    torch.testing.assert_close(later.cube_position, path.cube_position[:, 0, -1])
    torch.testing.assert_close(
        tcp_in_world(later, BaseFrames.of(ARMS)), path.hand_position[:, 0, -1], atol=1e-6, rtol=0
    )
    assert (later.joint_velocity.abs() > 1e-3).any()


def test_advancing_in_pieces_is_nearly_advancing_at_once(detailed: PhysicsPredictor) -> None:
    """A state that is set again lacks only the springs' transients."""
    start, chunks = three_worlds(), random_chunks(3, 1, 4, seed=4)
    whole = detailed.advance(start, tuple(value[:, 0] for value in chunks))
    pieces = start
    for k in range(4):
        pieces = detailed.advance(pieces, tuple(value[:, 0, k : k + 1] for value in chunks))
    bases = BaseFrames.of(ARMS)
    torch.testing.assert_close(
        tcp_in_world(pieces, bases), tcp_in_world(whole, bases),
        atol=8e-3, rtol=0,
    )  # fmt: skip


def test_advancing_by_nothing_changes_nothing(predictor: PhysicsPredictor) -> None:
    start = three_worlds()
    assert predictor.advance(start, (torch.zeros(3, 0, 7), torch.zeros(3, 0, 7))) is start


def test_the_simulator_returns_the_state_that_was_set() -> None:
    simulator, start = MujocoSimulator(ARMS, 3, 1), three_worlds()
    generator = torch.Generator().manual_seed(0)
    start = attrs.evolve(
        start,
        goal=None,  # which is not the simulator's
        joint_velocity=0.1 * torch.randn(3, 2, 7, generator=generator),
        cube_velocity=torch.randn(3, 6, generator=generator),
    )
    simulator.set_state(start)
    for (name, found), (_, expected) in zip(
        tensors(simulator.state()), tensors(start), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0, msg=name)


def test_set_points_lead_so_that_steady_motion_goes_on() -> None:
    """A moving arm whose state is set again keeps its speed under the same command."""
    simulator, controller = MujocoSimulator(ARMS, 1, 1), EndEffectorController()
    now = simulator.state()
    simulator.set_state(attrs.evolve(now, joint_position=state().joint_position))
    action = torch.zeros(1, 2, 7)
    action[..., 0] = 0.2
    now = simulator.state()
    for _ in range(6):
        targets = actuator_targets(controller, now.joint_position, action)
        now = simulator.step(targets, simulator.substeps).state
    before = tcp_in_world(now, BaseFrames.of(ARMS))
    simulator.set_state(now)
    later = simulator.step(
        actuator_targets(controller, now.joint_position, action), simulator.substeps
    ).state
    moved = tcp_in_world(later, BaseFrames.of(ARMS)) - before
    torch.testing.assert_close(moved[0, 0, 0], torch.tensor(0.02), atol=2e-3, rtol=0)


@pytest.mark.usefixtures("in_a_fresh_folder")
def test_a_diverged_copy_does_not_slow_the_others_down() -> None:
    """Physics on values that are no numbers takes 200 times as long."""
    seconds = []
    for start in (three_worlds(), poisoned(three_worlds(), "cube_position", float("nan"), 1)):
        simulator = MujocoSimulator(ARMS, 3, 1)
        simulator.set_state(start)
        began = time.process_time()
        for _ in range(5):
            simulator.step(torch.zeros(3, 16), simulator.substeps)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 20 * seconds[0]


def test_a_sample_that_loses_the_cube_is_marked_invalid(predictor: PhysicsPredictor) -> None:
    """One of two cubes is pushed over the table's edge, 60 cm from the middle."""
    start = state(cube=(-0.2, 0.57, 0.025), worlds=2)
    start.cube_velocity[1, 1] = 2.0
    chunks = tuple(torch.zeros(2, 1, 8, 7) for _ in ARMS)
    found = predictor.predict(start, chunks)
    assert found.valid.tolist() == [[True], [False]]
    assert found.trajectory.cube_position[1, 0, -1, 2] < 0.0


def test_a_sample_that_takes_a_hand_where_no_demonstration_was_is_marked_invalid(
    predictor: PhysicsPredictor,
) -> None:
    """The right hand rises for 0.8 s from 0.45 m, slowly in one sample and fast in the other."""
    slow, fast = (chunk((8, (0.0, 0.0, speed), OPEN)) for speed in (0.05, 0.4))
    still = chunk((8, (0.0, 0.0, 0.0), OPEN))
    chunks = (torch.stack((still, still))[None], torch.stack((slow, fast))[None])
    found = predictor.predict(state(), chunks)
    assert found.valid.tolist() == [[True, False]]
    assert found.trajectory.hand_position[0, 1, -1, 1, 2] > 0.6
