r"""Where an arm can use its hand at the table, and how the hand should lean there.

Everything is in the arm's *base* frame, whose z = 0 plane is the table top; the *radius* of a point
is its horizontal distance from the base's axis, its *bearing* the angle from the base's x axis.

Close to the base a hand that points straight down would need an elbow bent beyond joint 4's limit,
so there it leans outwards and its fingertips point back to the base; far out it leans inwards, away
from the stretched arm's singularity. :func:`tool_tilt` is that lean, :func:`reachable` where the
plain velocity controller brings the hand with it, and :func:`beyond_reach` a proof of the opposite.
The numbers are measured by ``tests/franka/test_reach.py`` with the functions below.
"""

import math

import torch
from torch import Tensor

from codi_franka.geometry import constant, rotation_error
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import (
    FLANGE_OFFSET,
    LINKS,
    POSITION_LOWER,
    POSITION_UPPER,
    TOOL_OFFSET,
)

MIN_RADIUS = 0.19
"""[m] Nearer, joint 4 stops some of the hands that are turned by 45 degrees."""
MAX_RADIUS = 0.76
"""[m] Where tasks may count on an arm."""
OUTER_RADIUS = 0.80
"""[m] The controller still gets there, with half of the distance from the singularity. Arms are
demonstrated up to here, so that they know a little more than a task asks of them."""
MAX_BEARING = math.radians(110.0)
"""[rad] Straight paths from the home posture to points further round pass too near the base."""

_NEAR_TILT = math.radians(-40.0)
_NEAR_RADII = (0.16, 0.40)
_FAR_TILT = math.radians(10.0)
_FAR_RADII = (0.64, 0.80)


def tool_tilt(radius: Tensor) -> Tensor:
    """The lean of the hand at the table: (...) [rad] for radii (...) [m].

    Zero points straight down; a positive tilt points the fingertips away from the base. The hand is
    upright between radii 0.40 and 0.64 and leans smoothly outside, by -32 degrees at 0.20 and by +8
    at 0.76. Near the base this is hardly more than what keeps joint 4 0.1 rad from its limit: a
    cube that leans by 45 degrees when it is let go falls over.
    """
    start, end = _NEAR_RADII
    near = ((end - radius) / (end - start)).clamp(0.0, 1.0)
    far = _smoothstep(radius, *_FAR_RADII)
    bend = 1.25 * near.square() / (near + 0.25)  # almost straight, but sets in gently
    return _NEAR_TILT * bend + _FAR_TILT * far


def tool_rotation(xy: Tensor, yaw: Tensor | float = 0.0, tilt: Tensor | None = None) -> Tensor:
    """How to hold the hand above a point: rotation matrices (..., 3, 3) of the TCP.

    The closing axis of the fingers stays horizontal, so that the pads meet a cube's sides flat.

    Args:
        xy: (..., 2) [m] in the base frame.
        yaw: (...) [rad] of the hand about the vertical; at zero the fingers close tangentially, at
            right angles to the direction in which the hand leans.
        tilt: (...) [rad]; by default :func:`tool_tilt` of the point's radius.
    """
    lean = tool_tilt(torch.linalg.vector_norm(xy, dim=-1)) if tilt is None else tilt
    heading, lean = torch.broadcast_tensors(torch.atan2(xy[..., 1], xy[..., 0]) + yaw, lean)
    c, s = torch.cos(heading), torch.sin(heading)
    ct, st = torch.cos(lean), torch.sin(lean)
    forward = torch.stack((c * ct, s * ct, st), dim=-1)
    closing = torch.stack((s, -c, torch.zeros_like(c)), dim=-1)
    pointing = torch.stack((c * st, s * st, -ct), dim=-1)
    return torch.stack((forward, closing, pointing), dim=-1)


def reachable(xy: Tensor, max_radius: float = MAX_RADIUS) -> Tensor:
    """Whether the arm can grasp and place a cube at a point of the table: (...) bool.

    The region is a sector of an annulus. The velocity controller reaches every point of it from
    the home posture, with :func:`tool_rotation` and within 3 mm in 4 s.

    Args:
        xy: (..., 2) [m] in the base frame.
        max_radius: the annulus' outer radius [m].
    """
    radius = torch.linalg.vector_norm(xy, dim=-1)
    bearing = torch.atan2(xy[..., 1], xy[..., 0]).abs()
    return (radius >= MIN_RADIUS) & (radius <= max_radius) & (bearing <= MAX_BEARING)


def shoulder_distance(position: Tensor) -> Tensor:
    """How far points (..., 3) [m] in the base frame are from the shoulder: (...) [m]."""
    shoulder = constant((0.0, 0.0, LINKS[0].d), position)
    return torch.linalg.vector_norm(position - shoulder, dim=-1)


def shoulder_distance_bound() -> float:
    r"""An upper bound [m] on the TCP's distance from the shoulder, at any angles within the limits.

    The shoulder is at height ``LINKS[0].d`` above the base. The wrist is at most
    :math:`\sqrt{A^2 + B^2 - 2AB\cos\gamma}` away from it, with the upper arm's and the forearm's
    lengths A, B and the largest elbow angle :math:`\gamma` that joint 4 admits; the TCP is at a
    fixed distance from the wrist.
    """
    upper = math.hypot(LINKS[2].d, LINKS[3].a)
    fore = math.hypot(LINKS[4].d, LINKS[4].a)
    bend = math.atan2(LINKS[2].d, LINKS[3].a) + math.atan2(LINKS[4].d, -LINKS[4].a)
    elbow = min(math.pi, 2 * math.pi + POSITION_UPPER[3] - bend)
    wrist = math.sqrt(upper**2 + fore**2 - 2 * upper * fore * math.cos(elbow))
    return wrist + math.hypot(LINKS[6].a, FLANGE_OFFSET + TOOL_OFFSET)


def beyond_reach(position: Tensor) -> Tensor:
    """Whether no posture at all can bring the TCP to a point: (...) bool; a proof, not a measure.

    Args:
        position: (..., 3) [m] in the base frame.
    """
    return shoulder_distance(position) > shoulder_distance_bound()


def pose_twist(
    joint_position: Tensor, position: Tensor, rotation: Tensor, gain: float = 4.0
) -> Tensor:
    """The twist (..., 6) of a proportional servo to a pose.

    Args:
        joint_position: (..., 7) [rad].
        position: (..., 3) [m], the target in the base frame.
        rotation: (..., 3, 3), the target in the base frame.
        gain: [1/s].
    """
    at, turned = forward_kinematics(joint_position)
    return gain * torch.cat((position - at, rotation_error(rotation, turned)), dim=-1)


def servo_twist(
    joint_position: Tensor,
    position: Tensor,
    yaw: Tensor | float = 0.0,
    *,
    speed: float = 0.3,
    gain: float = 4.0,
) -> Tensor:
    """The twist (..., 6) that moves the hand straight to a point while it leans as it should.

    The orientation follows :func:`tool_rotation` at the place that the hand is about to pass, not
    at the target: turning first or last would run into joint 4's limit near the base.

    Args:
        joint_position: (..., 7) [rad].
        position: (..., 3) [m], the target in the base frame.
        yaw: (...) [rad] as in :func:`tool_rotation`.
        speed: of the TCP at most [m/s].
        gain: [1/s].
    """
    at, turned = forward_kinematics(joint_position)
    linear = gain * (position - at)
    norm = torch.linalg.vector_norm(linear, dim=-1, keepdim=True)
    linear = linear * (speed / norm.clamp_min(speed))
    ahead = at[..., :2] + linear[..., :2] / gain  # offsets the servo's lag
    angular = gain * rotation_error(tool_rotation(ahead, yaw), turned)
    return torch.cat((linear, angular), dim=-1)


def follow(
    controller: EndEffectorController,
    joint_position: Tensor,
    position: Tensor,
    yaw: Tensor | float = 0.0,
    *,
    duration: float = 4.0,
    speed: float = 0.4,
) -> Tensor:
    """Move to points by :func:`servo_twist` with exact joints: (..., steps + 1, 7) [rad].

    Args:
        controller: whose period is the time step.
        joint_position: (..., 7) [rad], at the start.
        position: (..., 3) [m], the targets in the base frame.
        yaw: (...) [rad] as in :func:`tool_rotation`.
        duration: [s].
        speed: of the TCP at most [m/s].
    """
    path = [joint_position]
    for _ in range(round(duration / controller.period)):
        twist = servo_twist(path[-1], position, yaw, speed=speed)
        path.append(path[-1] + controller.period * controller.joint_velocity(path[-1], twist))
    return torch.stack(path, dim=-2)


def solve_pose(
    position: Tensor, rotation: Tensor, *, seeds: int = 16, steps: int = 80, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Look for postures within the limits by driving random ones to a pose.

    Args:
        position: (n, 3) [m] in the base frame.
        rotation: (n, 3, 3) in the base frame.
        seeds: starting postures for each pose.
        steps: of the controller, with a gain of one for each step.
        seed: of the starting postures.

    Returns:
        For each pose the posture (n, 7) [rad] whose error is least, and whether it is found (n,),
        within 1 mm and 0.01 rad. Not found is no proof that none exists.
    """
    controller = EndEffectorController(
        linear_limit=2.0, angular_limit=6.0, home_gain=(0.0,) * 7, limit_margin=0.0, limit_gain=1.0
    )
    generator = torch.Generator(device="cpu").manual_seed(seed)
    lower, upper = position.new_tensor(POSITION_LOWER), position.new_tensor(POSITION_UPPER)
    random = torch.rand((len(position), seeds, 7), generator=generator, dtype=position.dtype)
    joints = lower + (upper - lower) * random.to(position.device)
    position, rotation = position.unsqueeze(1), rotation.unsqueeze(1)
    gain = 1.0 / controller.period
    for _ in range(steps):
        twist = pose_twist(joints, position, rotation, 0.5 * gain)
        joints = joints + controller.period * controller.joint_velocity(joints, twist)
    error = pose_twist(joints, position, rotation, 1.0)
    linear, angular = error[..., :3].norm(dim=-1), error[..., 3:].norm(dim=-1)
    best = (linear + 0.1 * angular).argmin(dim=-1)
    rows = torch.arange(len(best), device=best.device)
    found = (linear[rows, best] < 1e-3) & (angular[rows, best] < 1e-2)
    return joints[rows, best], found


def limit_distance(joint_position: Tensor) -> Tensor:
    """Distance (...) [rad] of postures (..., 7) from the nearest limit; negative beyond."""
    lower = joint_position - joint_position.new_tensor(POSITION_LOWER)
    upper = joint_position.new_tensor(POSITION_UPPER) - joint_position
    return torch.minimum(lower, upper).amin(dim=-1)


def _smoothstep(value: Tensor, start: float, end: float) -> Tensor:
    """From 0 up to ``start`` to 1 from ``end`` on, with flat ends."""
    x = ((value - start) / (end - start)).clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
