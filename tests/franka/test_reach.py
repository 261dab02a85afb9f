"""The claims of the reach study, measured."""

import math

import pytest
import torch

from codi_franka.geometry import rotation_error
from codi_franka.robot import reach
from codi_franka.robot.controller import HOME, EndEffectorController
from codi_franka.robot.kinematics import forward_kinematics, joint_origins
from codi_franka.robot.parameters import POSITION_LOWER, POSITION_UPPER

HOME_POSTURE = torch.tensor(HOME, dtype=torch.float64)


def _uniform(generator: torch.Generator, low: float, high: float, count: int) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def _targets(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of the region (count, 3) from the table up to 0.25 m and yaws (count,)."""
    generator = torch.Generator().manual_seed(4)
    radius = _uniform(generator, reach.MIN_RADIUS, reach.MAX_RADIUS, count)
    bearing = _uniform(generator, -reach.MAX_BEARING, reach.MAX_BEARING, count)
    height = _uniform(generator, 0.025, 0.25, count)
    yaw = _uniform(generator, -math.pi / 4, math.pi / 4, count)
    points = torch.stack((radius * bearing.cos(), radius * bearing.sin(), height), dim=-1)
    return points, yaw


def _random_postures(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    lower = torch.tensor(POSITION_LOWER, dtype=torch.float64)
    upper = torch.tensor(POSITION_UPPER, dtype=torch.float64)
    return lower + (upper - lower) * torch.rand(count, 7, generator=generator, dtype=lower.dtype)


def test_controller_reaches_the_whole_region_from_home_within_4_s() -> None:
    points, yaw = _targets(1000)
    start = HOME_POSTURE.expand(1000, 7)
    path = reach.follow(EndEffectorController(), start, points, yaw, duration=4.0)
    position, rotation = forward_kinematics(path[:, -1])
    assert (position - points).norm(dim=-1).max() < 3e-3
    turned = rotation_error(reach.tool_rotation(points[:, :2], yaw), rotation)
    assert turned.norm(dim=-1).max() < 0.02
    assert reach.limit_distance(path).min() > 0.0195
    assert reach.reachable(points[:, :2]).all()


def test_controller_comes_back_home_from_the_whole_region() -> None:
    points, yaw = _targets(500)
    controller = EndEffectorController()
    there = reach.follow(controller, HOME_POSTURE.expand(500, 7), points, yaw)[:, -1]
    home, _ = forward_kinematics(HOME_POSTURE)
    back = reach.follow(controller, there, home.expand(500, 3))[:, -1]
    position, rotation = forward_kinematics(back)
    assert (position - home).norm(dim=-1).max() < 3e-3
    assert rotation[:, 2, 2].max() < -0.999


def test_the_goal_near_the_right_base_needs_the_lean() -> None:
    target = torch.tensor([0.2, 0.0, 0.025], dtype=torch.float64)
    path = reach.follow(EndEffectorController(), HOME_POSTURE, target)
    position, rotation = forward_kinematics(path[-1])
    assert (position - target).norm() < 1e-3
    assert reach.limit_distance(path).min() > 0.07  # on the way down, from 0.45 m above the table
    assert reach.limit_distance(path[-1]) > 0.12
    assert math.degrees(math.acos(-rotation[2, 2])) == pytest.approx(32.05, abs=0.1)
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    posture = HOME_POSTURE
    for _ in range(60):
        twist = reach.pose_twist(posture, target, upright)
        posture = posture + 0.1 * EndEffectorController().joint_velocity(posture, twist)
    assert reach.limit_distance(posture) < 0.0205  # joint 4 is at its limit


def test_tilt_is_upright_in_the_middle_and_smooth() -> None:
    middle = torch.linspace(0.40, 0.64, 20, dtype=torch.float64)
    assert (reach.tool_tilt(middle) == 0.0).all()
    radius = torch.linspace(reach.MIN_RADIUS, reach.MAX_RADIUS, 571, dtype=torch.float64)
    tilt = reach.tool_tilt(radius)
    assert tilt.diff().min() >= 0.0
    slope = tilt.diff() / radius.diff()
    assert slope.max() < 4.0
    assert slope.diff().abs().max() < 0.15
    degrees = torch.rad2deg(reach.tool_tilt(torch.tensor([0.2, 0.3, 0.76], dtype=torch.float64)))
    expected = torch.tensor([-32.05, -13.02, 8.44], dtype=torch.float64)
    torch.testing.assert_close(degrees, expected, atol=0.02, rtol=0.0)


def test_tool_rotation_leans_and_keeps_the_closing_axis_level() -> None:
    points, yaw = _targets(50)
    rotation = reach.tool_rotation(points[:, :2], yaw)
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(rotation @ rotation.mT, identity)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(rotation[:, 2, 1], torch.zeros(50, dtype=torch.float64))
    lean = reach.tool_tilt(points[:, :2].norm(dim=-1))
    torch.testing.assert_close(rotation[:, 2, 2], -lean.cos())
    ahead = reach.tool_rotation(points[:, :2], tilt=torch.full((50,), 0.3, dtype=torch.float64))
    outward = (ahead[:, :2, 2] * points[:, :2]).sum(-1)
    assert (outward > 0).all()  # a positive tilt points away from the base


@pytest.mark.parametrize(
    ("radius", "degrees", "expected"),
    [(0.2, 0.0, True), (0.18, 0.0, False), (0.75, 0.0, True), (0.77, 0.0, False),
     (0.5, 109.0, True), (0.5, -109.0, True), (0.5, 111.0, False), (0.5, 180.0, False)],
)  # fmt: skip
def test_reachable_is_a_sector_of_an_annulus(radius: float, degrees: float, expected: bool) -> None:
    bearing = math.radians(degrees)
    xy = torch.tensor([radius * math.cos(bearing), radius * math.sin(bearing)])
    assert reach.reachable(xy).item() is expected


def test_no_posture_exceeds_the_bound() -> None:
    postures = _random_postures(20000)
    shoulder = torch.tensor([0.0, 0.0, 0.333], dtype=torch.float64)
    distance = (forward_kinematics(postures)[0] - shoulder).norm(dim=-1)
    assert distance.max() < reach.shoulder_distance_bound()
    assert distance.max() > 0.98 * reach.shoulder_distance_bound()  # the bound is tight
    wrist = joint_origins(postures)[:, 5]
    tool = (forward_kinematics(postures)[0] - wrist).norm(dim=-1)
    torch.testing.assert_close(tool, torch.full_like(tool, math.hypot(0.088, 0.2104)))


def test_the_goal_is_beyond_the_left_arm_for_certain() -> None:
    for height in (0.0, 0.025, 0.333, 0.6):
        assert reach.beyond_reach(torch.tensor([1.1, 0.0, height])).item()
    assert reach.beyond_reach(torch.tensor([1.1 - 0.15, 0.0, 0.333])).item()
    points, _ = _targets(200)
    assert not reach.beyond_reach(points).any()


def test_solve_pose_finds_what_forward_kinematics_made() -> None:
    position, rotation = forward_kinematics(_random_postures(10))
    posture, found = reach.solve_pose(position, rotation, seeds=16, steps=60)
    assert found.double().mean() >= 0.7
    again, _ = forward_kinematics(posture[found])
    torch.testing.assert_close(again, position[found], atol=1e-3, rtol=0.0)
    assert reach.limit_distance(posture).min() > -1e-9
    far = torch.tensor([[1.1, 0.0, 0.025]], dtype=torch.float64)
    assert not reach.solve_pose(far, rotation[:1], seeds=4, steps=20)[1].any()
