"""The mesh-free model against the published one, its addresses, contacts and grasp."""

import importlib.util
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from codi_franka.physics.model import build_model
from codi_franka.physics.model_index import ModelIndex, arm_names, initial_state
from codi_franka.robot import parameters as fr3
from codi_franka.robot.cell import ARM_BASES, FLOOR_HEIGHT
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.reach import follow

HOME_POSTURE = np.array(HOME)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model()


@pytest.fixture(scope="module")
def index(model: mujoco.MjModel) -> ModelIndex:
    return ModelIndex.of(model)


@pytest.fixture(scope="module")
def published() -> mujoco.MjModel:
    """The FR3 with hand of the package franky-sim, without its meshes' contacts."""
    package = importlib.util.find_spec("franky_sim")
    if package is None or package.origin is None:
        pytest.skip("the package franky-sim, whose model is the reference, is not installed")
    assets = Path(package.origin).parent / "assets"
    spec = mujoco.MjSpec.from_file(str(assets / "fr3.xml"))
    spec.meshdir = str(assets / "meshes")
    for geom in list(spec.geoms):  # links carry explicit inertias: the meshes only cost time
        spec.delete(geom)
    for mesh in list(spec.meshes):
        spec.delete(mesh)
    for key in list(spec.keys):
        spec.delete(key)
    spec.body("hand").add_site(name="tcp", pos=(0.0, 0.0, fr3.TOOL_OFFSET))
    return spec.compile()


def _random_qpos(count: int) -> np.ndarray:
    """Postures with open fingers: (count, 9)."""
    share = np.random.default_rng(0).uniform(size=(count, 7))
    lower, upper = np.array(fr3.POSITION_LOWER), np.array(fr3.POSITION_UPPER)
    fingers = np.full((count, 2), 0.03)
    return np.concatenate((lower + (upper - lower) * share, fingers), axis=1)


def _rest(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    data.qpos[:], data.act[:], data.ctrl[:] = initial_state(model, HOME_POSTURE)
    return data


def test_tool_is_where_the_published_model_has_it(published: mujoco.MjModel) -> None:
    ours = build_model(("left",), cube=False)
    mine, theirs = mujoco.MjData(ours), mujoco.MjData(published)
    offset = np.array(ARM_BASES["left"].position)
    for qpos in _random_qpos(20):
        mine.qpos[:], theirs.qpos[:] = qpos, qpos
        mujoco.mj_kinematics(ours, mine)
        mujoco.mj_kinematics(published, theirs)
        np.testing.assert_allclose(mine.site_xpos[0] - offset, theirs.site("tcp").xpos, atol=1e-6)
        np.testing.assert_allclose(mine.site_xmat[0], theirs.site("tcp").xmat, atol=1e-6)


def test_mass_matrix_is_the_published_one(published: mujoco.MjModel) -> None:
    ours = build_model(("left",), cube=False)
    masses = []
    for model in (ours, published):
        data, full = mujoco.MjData(model), []
        for qpos in _random_qpos(20):
            data.qpos[:] = qpos
            mujoco.mj_forward(model, data)
            matrix = np.zeros((model.nv, model.nv))
            mujoco.mj_fullM(model, data, matrix)
            full.append(matrix)
        masses.append(np.array(full))
    scale = np.abs(masses[1]).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(masses[0] / scale, masses[1] / scale, atol=1e-4)
    diagonal = np.diagonal(masses[0], axis1=1, axis2=2), np.diagonal(masses[1], axis1=1, axis2=2)
    np.testing.assert_allclose(*diagonal, rtol=0.01)


def test_limits_are_the_published_ones(published: mujoco.MjModel) -> None:
    ours = build_model(("left",), cube=False)
    np.testing.assert_array_equal(ours.jnt_range, published.jnt_range)
    np.testing.assert_array_equal(ours.jnt_actfrcrange[:7], published.jnt_actfrcrange[:7])
    ratio = ours.actuator_gainprm[:7, 0] / published.actuator_gainprm[:7, 0]
    np.testing.assert_allclose(ratio, 0.25)


def test_state_is_ordered_as_documented(model: mujoco.MjModel, index: ModelIndex) -> None:
    assert (model.nq, model.nv, model.nu, model.na) == (25, 24, 16, 14)
    left, right = index.arms
    assert (left.name, right.name) == ("left", "right")
    np.testing.assert_array_equal(left.joint_qpos, range(7))
    np.testing.assert_array_equal(left.finger_qpos, [7, 8])
    np.testing.assert_array_equal(right.joint_qpos, range(9, 16))
    np.testing.assert_array_equal(index.cube_qpos, range(18, 25))
    np.testing.assert_array_equal(index.cube_qvel, range(18, 24))
    np.testing.assert_array_equal(right.joint_act, range(7, 14))
    np.testing.assert_array_equal(right.joint_ctrl, range(8, 15))
    assert (left.gripper_ctrl, right.gripper_ctrl) == (7, 15)
    assert index.arm("right") is right
    assert len(left.geoms) == len(right.geoms) == 11
    assert set(left.pads) < set(left.geoms)


def test_arms_may_come_in_any_order_or_alone() -> None:
    assert arm_names(build_model(("right", "left"))) == ("right", "left")
    alone = build_model(("right",), cube=False)
    index = ModelIndex.of(alone)
    assert (alone.nq, alone.nu, index.cube_body, len(index.cube_qpos)) == (9, 8, -1, 0)
    with pytest.raises(KeyError, match=r"no arm 'left'; this model has \['right'\]"):
        index.arm("left")


@pytest.mark.parametrize("arms", [("middle",), ("left", "left")])
def test_wrong_arms_are_refused(arms: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=arms[0]):
        build_model(arms)


def test_bases_face_each_other(model: mujoco.MjModel, index: ModelIndex) -> None:
    data = _rest(model)
    mujoco.mj_kinematics(model, data)
    for arm, x in zip(index.arms, (-0.27, 0.27), strict=True):
        np.testing.assert_allclose(data.site_xpos[arm.tcp_site], [x, 0.0, 0.45], atol=1e-9)


def test_at_home_nothing_touches_and_nothing_moves() -> None:
    model = build_model(cube=False)
    data = _rest(model)
    mujoco.mj_step(model, data, nstep=100)
    assert data.ncon == 0
    np.testing.assert_allclose(data.qpos[:7], HOME_POSTURE, atol=1e-6)


def test_an_arm_meets_everything_but_itself(model: mujoco.MjModel, index: ModelIndex) -> None:
    def meets(a: int, b: int) -> bool:
        return bool(
            model.geom_contype[a] & model.geom_conaffinity[b]
            or model.geom_contype[b] & model.geom_conaffinity[a]
        )

    left, right = (arm.geoms for arm in index.arms)
    assert not any(meets(a, b) for a in left for b in left)
    assert all(meets(a, b) for a in left for b in right)
    scene = (index.cube_geom, index.table_geom, index.floor_geom)
    assert all(meets(a, b) for a in (*left, *right) for b in scene)
    assert meets(index.cube_geom, index.table_geom)


def test_gripper_follows_its_width(model: mujoco.MjModel, index: ModelIndex) -> None:
    data = _rest(model)
    for width in (0.06, 0.0, 0.08):
        data.ctrl[index.arms[0].gripper_ctrl] = width
        mujoco.mj_step(model, data, nstep=200)
        fingers = data.qpos[index.arms[0].finger_qpos]
        np.testing.assert_allclose(fingers, width / 2, atol=5e-4)


def test_velocity_command_is_held(model: mujoco.MjModel, index: ModelIndex) -> None:
    data, arm = _rest(model), index.arms[1]
    data.ctrl[arm.joint_ctrl[0]] = 0.4
    mujoco.mj_step(model, data, nstep=round(1.0 / model.opt.timestep))
    assert data.act[arm.joint_act[0]] == pytest.approx(0.4, abs=1e-6)
    # the joint follows its set point with a lag of damping / stiffness = 0.1 s
    assert data.qpos[arm.joint_qpos[0]] == pytest.approx(0.36, abs=0.01)


def test_cube_rests_on_the_table_and_falls_off_its_edge(
    model: mujoco.MjModel, index: ModelIndex
) -> None:
    data = _rest(model)
    mujoco.mj_step(model, data, nstep=100)
    np.testing.assert_allclose(data.qpos[index.cube_qpos[:3]], [0.0, 0.0, 0.025], atol=2e-4)
    data.qpos[index.cube_qpos[:3]] = [0.0, 0.5, 0.03]
    data.qvel[index.cube_qvel[:3]] = [0.0, 2.0, 0.0]
    mujoco.mj_step(model, data, nstep=300)
    assert data.qpos[index.cube_qpos[2]] == pytest.approx(FLOOR_HEIGHT + 0.025, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_open_loop_pick_lifts_a_randomised_cube(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, commands = build_model(), _pick_commands()
    index = ModelIndex.of(model)
    scale = rng.uniform(0.05, 0.2) / model.body_mass[index.cube_body]
    model.body_mass[index.cube_body] *= scale
    model.body_inertia[index.cube_body] *= scale
    model.geom_friction[:, 0] *= rng.uniform(0.7, 1.2)
    data, yaw = _rest(model), rng.uniform(-0.15, 0.15)
    data.qpos[index.cube_qpos[:2]] = rng.uniform(-0.006, 0.006, 2) + (-0.15, 0.0)
    data.qpos[index.cube_qpos[3:]] = [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]
    for command in commands:
        data.ctrl[:8] = command
        mujoco.mj_step(model, data, nstep=10)
    assert not any(warning.number for warning in data.warning)
    np.testing.assert_allclose(data.qpos[index.cube_qpos[:3]], [-0.15, 0.0, 0.2], atol=0.02)


def _pick_commands() -> list[np.ndarray]:
    """Above the cube, down, close, lift: 10 Hz joint velocities and widths."""
    controller = EndEffectorController()
    posture, commands = torch.tensor(HOME, dtype=torch.float64), []
    for height, width, seconds in ((0.12, 0.08, 2.0), (0.025, 0.08, 1.5), (0.025, 0.0, 0.6),
                                   (0.2, 0.0, 2.0)):  # fmt: skip
        target = torch.tensor([0.5, 0.0, height], dtype=torch.float64)
        path = follow(controller, posture, target, duration=seconds, speed=0.25)
        velocities = (path[1:] - path[:-1]) / controller.period
        commands += [np.append(velocity, width) for velocity in velocities.numpy()]
        posture = path[-1]
    return commands
