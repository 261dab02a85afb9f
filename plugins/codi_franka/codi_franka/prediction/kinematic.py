"""A kinematic predictor at the level of the hands: fast, and without contacts.

Hands follow their commanded velocities with the lag that the arms show, grippers follow their
commanded widths, and a cube between closing fingers is attached to the hand. Nothing pushes
anything, and there is no inverse kinematics.
"""

from __future__ import annotations

from importlib.util import find_spec

import attrs
import torch
from torch import Tensor

from codi_core.predictors import Prediction, Predictor
from codi_core.resources import can_branch_on
from codi_franka.action import RATE_HZ
from codi_franka.geometry import (
    constant,
    quaternion_exp,
    quaternion_from_matrix,
    quaternion_multiply,
)
from codi_franka.prediction.trajectory import HandoffTrajectory, goals
from codi_franka.robot.box import CUBE, Box
from codi_franka.robot.cell import CUBE_SIZE
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.kinematics import curvature
from codi_franka.robot.parameters import LINKS, MAX_WIDTH
from codi_franka.state import HELD_DISTANCE, FrankaState, hands_in_base, holding
from codi_franka.workspace import KNOWN_REACH


@attrs.frozen
class KinematicSettings:
    """What the predictor assumes about the arms; measured on the physics model."""

    velocity_decay: float = 0.445
    """How much of a hand's velocity is left after a control step when none is commanded."""
    prompt_share: float = 0.29
    """How much of a control step's displacement follows that step's command; the rest follows
    the velocity at the step's start."""
    response_delay: float = 0.12
    """[s] How long after it was computed a joint velocity acts, on average. Meanwhile the arm has
    turned, and the hand leaves the commanded straight line."""
    width_decay: float = 0.366
    """How much of a gripper's distance to its commanded width is left after a control step."""
    reach: float = KNOWN_REACH
    """[m] How far from the shoulder a hand gets. The arm is longer, but stretched out it is where
    few demonstrations were: foreseeing progress there would lure it beyond what its policy knows.
    """
    lowest_tcp: float = 0.012
    """[m] The fingertips touch the table there."""
    grasp_radius: float = 0.008
    """[m] How far off the TCP, horizontally, a closing gripper is foreseen to grasp the cube. It
    often does from twice as far; but foreseeing that makes hands close too early, and fingers that
    meet a cube at its corner flick it away, at times off the table."""
    grasp_height: float = 0.01
    """[m] The same vertically."""
    held_distance: float = HELD_DISTANCE
    """[m] A cube that near, with the gripper at its width, is taken to be held at the start."""
    fall: float = 0.05
    """[m] By which a cube that is not held falls in a control step."""


class KinematicPredictor(Predictor):
    """Integrates hand poses and widths; grasps by attachment.

    It works where the chunks are, and in their precision.

    Args:
        arms: the arms' names, in the order of the agents.
        settings: what is assumed about the arms.
        box: what stands for the cube. It lies on the face that was nearest to the table when the
            prediction began.
    """

    def __init__(
        self, arms: tuple[str, ...], settings: KinematicSettings | None = None, box: Box = CUBE
    ) -> None:
        self.arms, self.box = arms, box
        self.settings = settings or KinematicSettings()
        self.controller = EndEffectorController()
        self._known: tuple[FrankaState, _Start] | None = None
        self._lag_cache: dict[tuple[int, torch.dtype, torch.device], _Lags] = {}

    def predict(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> Prediction:
        """Roll all samples out; none ever fails.

        Args:
            state: the state estimate of B worlds, with their goals.
            chunks: (B, M, K, 7) an arm, each in its arm's base frame.

        Raises:
            SpecificationError: the state has no goals.
        """
        # Components come before samples and steps, (B, N, 7, M, K): sums over them are most of
        # what there is to do, and then run along memory.
        actions = torch.stack(chunks, 1).permute(0, 1, 4, 2, 3).contiguous()
        twist, width = actions[:, :, :6], actions[:, :, 6]  # (B, N, 6, M, K), (B, N, M, K)
        start = self._start(state, actions)
        lags = self._lags(actions.shape[-1], actions)
        position = self._positions(start, lags, twist)
        width = self._widths(start.width, lags, width)
        cube = self._cube(start, position, width)

        def quaternions() -> Tensor:
            return self._quaternions(start, lags, twist[:, :, 3:].permute(0, 3, 1, 4, 2))

        trajectory = HandoffTrajectory(
            hand_position=position.permute(0, 3, 4, 1, 2),
            gripper_width=width.permute(0, 2, 3, 1),
            cube_position=cube.permute(0, 2, 3, 1),
            goal=start.goal,
            hand_quaternion=quaternions,
        )
        return Prediction(trajectory)

    # -- hands ----------------------------------------------------------------------------------

    def _positions(self, start: _Start, lags: _Lags, command: Tensor) -> Tensor:
        """TCP positions (B, N, 3, M, K), world frame, in the workspace, from twists (…, 6, …)."""
        linear = _shorten(command[:, :, :3], self.controller.linear_limit, 2)
        angular = _shorten(command[:, :, 3:], self.controller.angular_limit, 2)
        linear = linear + self._turning_off(start, torch.cat((linear, angular), 2))
        coasting = start.hands.linear_velocity[..., None, None] * lags.coasting.mT
        position = start.hands.position[..., None, None] + coasting + linear @ lags.path.mT
        sideways, height = position.split((2, 1), 2)
        # The floor as a reflected path: a step back up acts at once, however long the push down.
        lift = (self.settings.lowest_tcp - height).clamp_min(0.0).cummax(-1).values
        # Reach comes last: shortening lifts what is below the shoulder, so the floor still holds.
        from_shoulder = torch.cat((sideways, height + (lift - LINKS[0].d)), 2)
        reached = _shorten(from_shoulder, self.settings.reach, 2)
        turned = start.bases.rotation @ reached.flatten(3)
        return turned.view(reached.shape) + start.shoulders[..., None, None]

    def _turning_off(self, start: _Start, twist: Tensor) -> Tensor:
        """What joints that turn at constant speed add to a commanded velocity, (B, N, 3, M, K).

        To first order it is the hand's acceleration at constant joint velocities (centripetal and
        Coriolis terms) times the time by which joint velocities are behind the command.
        """
        slopes = start.curvature.flatten(2, 3) @ twist.flatten(3)  # (B, N, 18, M K)
        bend = (slopes.view(*twist.shape[:2], 3, *twist.shape[2:]) * twist.unsqueeze(2)).sum(3)
        return self.settings.response_delay * bend

    def _widths(self, start: Tensor, lags: _Lags, command: Tensor) -> Tensor:
        """Gripper widths (B, N, M, K) without an object: exponential approach to the command."""
        fading = start[..., None, None] * lags.width_fading
        return command.clamp(0.0, MAX_WIDTH) @ lags.width.mT + fading

    def _quaternions(self, start: _Start, lags: _Lags, command: Tensor) -> Tensor:
        """Hand orientations (B, M, K, N, 4), world frame, from (B, M, N, K, 3)."""
        command = _shorten(command, self.controller.angular_limit, -1)
        velocity = start.hands.angular_velocity[:, None, :, None]
        turned = quaternion_exp(lags.step @ command + lags.step_coasting * velocity)
        steps, shift = turned.shape[3], 1
        while shift < steps:  # products of all prefixes in log2(K) rounds
            product = quaternion_multiply(turned[:, :, :, shift:], turned[:, :, :, :-shift])
            turned = torch.cat((turned[:, :, :, :shift], product), 3)
            shift *= 2
        before = quaternion_from_matrix(start.hands.rotation)[:, None, :, None]
        in_base = quaternion_multiply(turned, before).transpose(2, 3)
        return quaternion_multiply(start.bases.quaternion, in_base)

    # -- the cube -------------------------------------------------------------------------------

    def _cube(self, start: _Start, hands: Tensor, width: Tensor) -> Tensor:
        """The cube's path (B, 3, M, K): attached where a gripper closes around it.

        Where the cube is says which closing grippers grasp it, and they say where it goes. So
        both are computed in turn, for all steps at once, until nothing changes: each round
        settles at least the next closing of every sample, of which there is one in two steps at
        most, since the gripper is open before.
        """
        if self.box == CUBE and _has_kernel(hands):
            return self._followed(start, hands, width)
        narrow = width < self.box.grip
        # Only a gripper that was open around the cube grasps it; closed fingers pass it by.
        closing = narrow & ~_delayed(narrow, start.narrow)
        if not self._ever_touched(start, hands, closing):
            return self._falling(start, hands)
        moved = hands - _delayed(hands, start.hand_position)
        steps = torch.arange(1, hands.shape[-1] + 1, device=hands.device)
        latest = (closing * steps).cummax(-1).values  # the latest closing's step, or 0
        kept = start.held[..., None, None].expand(*closing.shape[:-1], 1)
        grasped = torch.zeros_like(closing)
        for _ in range((hands.shape[-1] + 1) // 2 + 1):
            held = narrow & torch.cat((kept, grasped), -1).gather(-1, latest)
            carried = (narrow & _delayed(held, start.held)).to(hands.dtype)
            share = carried / carried.sum(1, keepdim=True).clamp_min(1.0)
            carry = (moved * share.unsqueeze(2)).sum(1)
            path = self._path(start, carry, held.any(1))
            reached = _delayed(path, start.cube) + carry  # before it falls
            found = closing & (self._near(hands - reached.unsqueeze(1)) | (kept & (steps == 1)))
            if can_branch_on(found) and torch.equal(found, grasped):
                break
            grasped = found
        return path

    def _followed(self, start: _Start, hands: Tensor, width: Tensor) -> Tensor:
        """The same from one kernel, on a GPU."""
        from codi_franka.prediction.cube_kernel import cube_path

        settings = self.settings
        near = settings.grasp_radius, settings.grasp_height
        before = start.hand_position, start.held, start.narrow, start.cube
        return cube_path(before, hands, width, CUBE_SIZE, near, settings.fall)

    def _near(self, gap: Tensor) -> Tensor:
        """Whether a cube is between the fingers, from hand minus cube (B, N, 3, M, K)."""
        radius, height = self.settings.grasp_radius, self.settings.grasp_height
        reach = constant((radius, radius, height), gap)[:, None, None]
        return (gap.abs() < reach).all(2)

    def _ever_touched(self, start: _Start, hands: Tensor, closing: Tensor) -> bool:
        """Whether any sample could move the cube at all; if none can, it only falls."""
        if start.any_held or not can_branch_on(closing):
            return True
        gap = hands - start.cube[:, None, :, None, None]
        # A cube in the air falls: hands below it count as well.
        gap = torch.cat((gap[:, :, :2], gap[:, :, 2:].clamp_min(0.0)), 2)
        return bool((closing & self._near(gap)).any())

    def _path(self, start: _Start, carry: Tensor, held: Tensor) -> Tensor:
        """A cube's path (B, 3, M, K) that is carried so far at each step, and falls if not held.

        Args:
            start: where it starts.
            carry: (B, 3, M, K), displacements.
            held: (B, M, K) booleans.
        """
        sideways, height = (start.cube[..., None, None] + carry.cumsum(-1)).split((2, 1), 1)
        height = height - self.settings.fall * (~held).cumsum(-1).unsqueeze(1)
        # The table, as for the hands, is a reflected path.
        lift = (start.lying - height).clamp_min(0.0).cummax(-1).values
        return torch.cat((sideways, height + lift), 1)

    def _falling(self, start: _Start, like: Tensor) -> Tensor:
        """The path (B, 3, M, K) of a free cube, which ends on the table.

        Rounded as for samples that could move it: which path is taken depends on all worlds.
        """
        samples, steps = like.shape[-2:]
        still = like.new_zeros(len(start.cube), 3, 1, steps)
        path = self._path(start, still, still[:, 0].bool())
        return path.expand(-1, -1, samples, -1)

    # -- what is computed once ------------------------------------------------------------------

    def _start(self, state: FrankaState, like: Tensor) -> _Start:
        # A plan asks once for each denoising step, always from the same state.
        if self._known is not None and self._known[0] is state:
            start = self._known[1]
            if start.cube.dtype == like.dtype and start.cube.device == like.device:
                return start
        start = self._started(state.to(like.device, like.dtype))
        self._known = (state, start)
        return start

    @torch.inference_mode(False)  # it outlives the plan that asks first
    def _started(self, state: FrankaState) -> _Start:
        bases = BaseFrames.of(self.arms, state.cube_position.device, state.cube_position.dtype)
        hands = hands_in_base(state)
        position = bases.points_to_world(hands.position)
        held = holding(state, position, self.settings.held_distance, self.box)
        return _Start(
            bases=bases,
            shoulders=bases.points_to_world(constant((0.0, 0.0, LINKS[0].d), position)),
            hands=hands,
            hand_position=position,
            curvature=curvature(hands.jacobian, self.controller.damping),
            width=state.gripper_width,
            cube=state.cube_position,
            goal=goals(state),
            held=held,
            narrow=state.gripper_width < self.box.grip,
            lying=self.box.lying(state.cube_quaternion)[:, None, None, None],
            any_held=can_branch_on(held) and bool(held.any()),
        )

    def _lags(self, steps: int, like: Tensor) -> _Lags:
        key = (steps, like.dtype, like.device)
        if key not in self._lag_cache:
            self._lag_cache[key] = _lags(self.settings, steps, like)
        return self._lag_cache[key]


@attrs.frozen(eq=False)
class _Start:
    """What the state says about the start, world frame but for ``hands``."""

    bases: BaseFrames
    shoulders: Tensor
    hands: HandState
    hand_position: Tensor
    curvature: Tensor
    width: Tensor
    cube: Tensor
    lying: Tensor
    goal: Tensor
    held: Tensor
    narrow: Tensor
    any_held: bool


@attrs.frozen(eq=False)
class _Lags:
    """The lag of hands and grippers over K steps, as matrices (K, K) and columns (K, 1).

    With the decay d and the share h, a hand's velocity is v[k+1] = d v[k] + (1 - d) c[k] and a
    step's displacement (1 - h) v[k] + h c[k], times the control period. Unrolled over K steps,
    that is ``step`` times all commands plus ``step_coasting`` times the first velocity;
    ``path`` and ``coasting`` are their running sums.
    """

    step: Tensor
    step_coasting: Tensor
    path: Tensor
    coasting: Tensor
    width: Tensor
    width_fading: Tensor


@torch.inference_mode(False)  # it outlives the plan that asks first
def _lags(settings: KinematicSettings, steps: int, like: Tensor) -> _Lags:
    power = torch.arange(steps, device=like.device)
    lag = power[:, None] - power
    decay, prompt = settings.velocity_decay, settings.prompt_share
    late = (1 - prompt) * (1 - decay) * decay ** (lag - 1).clamp_min(0)
    step = (torch.where(lag > 0, late, 0.0) + prompt * (lag == 0)).to(like) / RATE_HZ
    coasting = ((1 - prompt) * decay ** power[:, None]).to(like) / RATE_HZ
    fading = settings.width_decay
    width = torch.where(lag >= 0, (1 - fading) * fading ** lag.clamp_min(0), 0.0).to(like)
    return _Lags(
        step,
        coasting,
        step.cumsum(0),
        coasting.cumsum(0),
        width,
        (fading ** (power + 1)).to(like),
    )


def _has_kernel(hands: Tensor) -> bool:
    """Whether the cube of such hands can be followed by a kernel, which has no gradient."""
    suits = hands.is_cuda and hands.dtype == torch.float32 and not hands.requires_grad
    return suits and find_spec("triton") is not None


def _shorten(vector: Tensor, length: float, axis: int) -> Tensor:
    """Vectors, whose components are along ``axis``, of at most the given length."""
    # The least length is applied before the root, which has no slope at zero.
    square = vector.square().sum(axis, keepdim=True).clamp_min(length**2)
    return vector * (length * square.rsqrt())


def _delayed(path: Tensor, first: Tensor) -> Tensor:
    """The values (..., M, K) one step later, beginning with ``first`` (...)."""
    start = first[..., None, None].expand(*path.shape[:-1], 1)
    return torch.cat((start, path[..., :-1]), -1)
