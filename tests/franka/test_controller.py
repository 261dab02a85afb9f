"""The controller's task, its limits, and mink as an oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codi_franka.physics.model import build_model
from codi_franka.robot.controller import HOME, EndEffectorController, inverse_of
from codi_franka.robot.kinematics import forward_kinematics, jacobian, pose_and_jacobian
from codi_franka.robot.parameters import POSITION_LOWER, POSITION_UPPER, VELOCITY_LIMIT

LOWER = torch.tensor(POSITION_LOWER, dtype=torch.float64)
UPPER = torch.tensor(POSITION_UPPER, dtype=torch.float64)
SPEED = torch.tensor(VELOCITY_LIMIT, dtype=torch.float64)
HOME_POSTURE = torch.tensor(HOME, dtype=torch.float64)

SHARES = st.lists(st.floats(0.0, 1.0), min_size=7, max_size=7)
TWISTS = st.lists(st.floats(-5.0, 5.0), min_size=6, max_size=6)
FAST = settings(deadline=None, max_examples=100)


def _posture(shares: list[float]) -> torch.Tensor:
    return LOWER + (UPPER - LOWER) * torch.tensor(shares, dtype=torch.float64)


def _random(count: int, *, inside: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shares = torch.rand(count, 7, generator=generator, dtype=torch.float64) - 0.5
    twists = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    return (LOWER + UPPER) / 2 + inside * (UPPER - LOWER) * shares, twists


def test_home_points_straight_down_in_front_of_the_base() -> None:
    position, rotation = forward_kinematics(HOME_POSTURE)
    expected = torch.tensor([0.38, 0.0, 0.45], dtype=torch.float64)
    torch.testing.assert_close(position, expected, atol=1e-9, rtol=0.0)
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    torch.testing.assert_close(rotation, down, atol=1e-9, rtol=0.0)


def test_realises_the_twist_away_from_limits() -> None:
    controller = EndEffectorController()
    for number in range(6):
        twist = torch.zeros(6, dtype=torch.float64)
        twist[number] = 0.2
        velocity = controller.joint_velocity(HOME_POSTURE, twist)
        realised = jacobian(HOME_POSTURE) @ velocity
        torch.testing.assert_close(realised, twist, atol=2.5e-3, rtol=0.0)


def test_the_inverse_that_a_graph_can_record_is_the_inverse() -> None:
    """Of Gram matrices as near to singular as the damping lets them come."""
    generator = torch.Generator().manual_seed(0)
    model = torch.randn(64, 6, 7, generator=generator, dtype=torch.float64)
    model[::2, 5] = model[::2, 4]
    gram = model @ model.mT + 0.02**2 * torch.eye(6, dtype=torch.float64)
    found = inverse_of(torch.linalg.cholesky(gram))
    torch.testing.assert_close(gram @ found, torch.eye(6, dtype=torch.float64).expand_as(gram))


def test_one_period_moves_the_hand_by_the_twist() -> None:
    controller = EndEffectorController()
    twist = torch.tensor([0.1, -0.2, 0.05, 0.0, 0.0, 0.0], dtype=torch.float64)
    posture, steps = HOME_POSTURE, 100
    for _ in range(steps):
        posture = posture + 0.1 / steps * controller.joint_velocity(posture, twist)
    moved = forward_kinematics(posture)[0] - forward_kinematics(HOME_POSTURE)[0]
    torch.testing.assert_close(moved, 0.1 * twist[:3], atol=3e-4, rtol=0.0)


def test_at_home_zero_twist_is_zero_velocity() -> None:
    velocity = EndEffectorController().joint_velocity(HOME_POSTURE, torch.zeros(6))
    torch.testing.assert_close(velocity, torch.zeros_like(velocity), atol=1e-12, rtol=0.0)


def test_null_space_pull_does_not_move_the_hand_and_reaches_a_planar_posture() -> None:
    controller = EndEffectorController()
    posture = HOME_POSTURE + torch.tensor([0.2, 0.1, 0.5, -0.1, 0.3, 0.1, 0.0])
    before = forward_kinematics(posture)[0]
    pull = (posture[2].abs() + posture[4].abs()).item()
    for _ in range(100):
        posture = posture + 0.1 * controller.joint_velocity(posture, torch.zeros(6))
    after = forward_kinematics(posture)[0]
    torch.testing.assert_close(after, before, atol=2e-3, rtol=0.0)
    assert (posture[2].abs() + posture[4].abs()).item() < 0.7 * pull


def test_saturation_keeps_directions() -> None:
    controller = EndEffectorController()
    twist = torch.tensor([3.0, 0.0, 4.0, 0.0, 0.6, 0.8], dtype=torch.float64)
    expected = torch.tensor([0.3, 0.0, 0.4, 0.0, 0.6, 0.8], dtype=torch.float64)
    torch.testing.assert_close(controller.saturate(twist), expected)
    torch.testing.assert_close(
        controller.joint_velocity(HOME_POSTURE, twist),
        controller.joint_velocity(HOME_POSTURE, expected),
    )


@FAST
@given(SHARES, TWISTS)
def test_limits_hold_for_any_posture_and_twist(shares: list[float], twist: list[float]) -> None:
    posture = _posture(shares)
    controller = EndEffectorController()
    velocity = controller.joint_velocity(posture, torch.tensor(twist, dtype=torch.float64))
    after = posture + controller.period * velocity
    assert torch.isfinite(velocity).all()
    assert (velocity.abs() <= SPEED).all()
    assert (after >= LOWER).all()
    assert (after <= UPPER).all()


def test_limits_hold_in_single_precision() -> None:
    postures, twists = _random(2000)
    postures, twists = postures.float(), twists.float()
    velocity = EndEffectorController().joint_velocity(postures, twists)
    after = postures + 0.1 * velocity
    assert (velocity.abs() <= SPEED.float()).all()
    assert ((after >= LOWER.float()) & (after <= UPPER.float())).all()


def test_a_posture_beyond_a_limit_is_brought_back() -> None:
    posture = HOME_POSTURE.clone()
    posture[3] = POSITION_LOWER[3] - 0.1
    velocity = EndEffectorController().joint_velocity(posture, torch.zeros(6))
    assert velocity[3] == pytest.approx(0.5 * (0.1 + 0.02) / 0.1)


def test_a_fast_twist_is_slowed_down_not_turned_aside() -> None:
    controller = EndEffectorController(linear_limit=20.0, home_gain=(0.0,) * 7, damping=1e-6)
    twist = torch.tensor([6.0, 2.0, -1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    velocity = controller.joint_velocity(HOME_POSTURE, twist)
    realised = jacobian(HOME_POSTURE) @ velocity
    share = realised[0] / twist[0]
    assert 0.05 < share < 0.95
    torch.testing.assert_close(realised, share * twist, atol=1e-4, rtol=0.0)
    assert (velocity.abs() / SPEED).max() == pytest.approx(1.0, abs=1e-5)


def test_other_joints_take_over_for_one_at_its_limit() -> None:
    posture = torch.tensor([0.3, -0.3, 0.4, -2.2, -0.3, 2.0, 3.0159 - 0.02], dtype=torch.float64)
    controller = EndEffectorController(home_gain=(0.0,) * 7)
    twist = torch.tensor([0.0, 0.05, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    wanted = torch.linalg.lstsq(jacobian(posture), twist).solution
    twist = twist if wanted[6] > 0 else -twist
    velocity = controller.joint_velocity(posture, twist)
    assert velocity[6] == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(jacobian(posture) @ velocity, twist, atol=3e-3, rtol=0.0)


def test_rows_do_not_influence_one_another() -> None:
    postures, twists = _random(64)
    controller = EndEffectorController()
    together = controller.joint_velocity(postures.reshape(8, 8, 7), twists.reshape(8, 8, 6))
    alone = [controller.joint_velocity(p, t) for p, t in zip(postures, twists, strict=True)]
    torch.testing.assert_close(together.reshape(64, 7), torch.stack(alone), atol=1e-9, rtol=1e-9)


def test_leading_dimensions_broadcast() -> None:
    _, twists = _random(5)
    velocity = EndEffectorController().joint_velocity(HOME_POSTURE, twists)
    assert velocity.shape == (5, 7)


def test_agrees_with_mink() -> None:
    mink = pytest.importorskip("mink", reason="the oracle, mink, is not installed")
    qpsolvers = pytest.importorskip("qpsolvers", reason="mink's solver interface is missing")
    if not qpsolvers.available_solvers:
        pytest.skip("no quadratic programming solver is installed")
    controller = EndEffectorController(home_gain=(0.0,) * 7)
    model = build_model(("left",), cube=False)
    configuration = mink.Configuration(model)
    postures, twists = _random(8, inside=0.5)
    for posture, twist in zip(postures, 1e-3 * twists, strict=True):
        qpos = np.zeros(model.nq)
        qpos[:7] = posture
        configuration.update(qpos)
        task = mink.FrameTask("left/tcp", "site", position_cost=1.0, orientation_cost=1.0)
        position, rotation, _ = pose_and_jacobian(posture)
        task.set_target(_stepped(mink, position + torch.tensor([-0.65, 0, 0]), rotation, twist))
        velocity = mink.solve_ik(
            configuration,
            [task],
            dt=1.0,
            solver=qpsolvers.available_solvers[0],
            damping=controller.damping**2,
            limits=[],
        )
        ours = controller.joint_velocity(posture, twist)
        np.testing.assert_allclose(ours, velocity[:7], atol=3e-5)


def _stepped(mink: object, position: torch.Tensor, rotation: torch.Tensor, twist: torch.Tensor):
    step = mink.SO3.exp(twist[3:].numpy())
    turned = step.multiply(mink.SO3.from_matrix(rotation.numpy()))
    return mink.SE3.from_rotation_and_translation(turned, (position + twist[:3]).numpy())


def test_an_elbow_that_is_through_straight_comes_back() -> None:
    """The hand is wanted towards its base. Without the bound joint 4's own limit keeps it there."""
    start = HOME_POSTURE.clone()
    start[1], start[3], start[5] = 1.4, -0.18, 1.7
    back = torch.tensor([-0.3, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    gone = []
    for controller in (EndEffectorController(), EndEffectorController(straightest=-0.6)):
        joints = start.clone()
        for _ in range(200):
            joints = joints + 0.01 * controller.joint_velocity(joints, back)
        gone.append(float(forward_kinematics(start)[0][0] - forward_kinematics(joints)[0][0]))
    assert gone[0] < 0.05 < 0.4 < gone[1]


@given(st.floats(-1.0, -0.65), TWISTS)
def test_an_elbow_stays_bent(elbow: float, twist: list[float]) -> None:
    controller = EndEffectorController(straightest=-0.6)
    joints = HOME_POSTURE.clone()
    joints[3] = elbow
    for _ in range(40):
        joints = joints + 0.01 * controller.joint_velocity(joints, torch.tensor(twist).double())
    assert joints[3] <= -0.6
