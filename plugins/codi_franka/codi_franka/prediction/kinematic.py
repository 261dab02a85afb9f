"""A kinematic predictor at the level of the hands: fast, and without contacts.

Hands follow their commanded velocities with the lag that the arms show, grippers follow their
commanded widths, and a cube between closing fingers is attached to the hand. Nothing pushes
anything, and there is no inverse kinematics.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from codi_core.predictors import Prediction, Predictor
from codi_franka.action import RATE_HZ
from codi_franka.geometry import (
    quaternion_exp,
    quaternion_from_matrix,
    quaternion_multiply,
)
from codi_franka.prediction.trajectory import HandoffTrajectory
from codi_franka.robot.controller import EndEffectorController
from codi_franka.robot.kinematics import curvature
from codi_franka.robot.layout import CUBE_SIZE
from codi_franka.robot.parameters import LINKS, MAX_WIDTH
from codi_franka.state import BaseFrames, FrankaState, HandState, hands_in_base


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
    reach: float = 0.84
    """[m] How far from the shoulder a hand gets: 0.78 m from the base's axis at table height. The
    arm is longer, but stretched out it is where no demonstration was: foreseeing progress there
    would lure it out of what its policy knows."""
    lowest_tcp: float = 0.012
    """[m] The fingertips touch the table there."""
    grasp_radius: float = 0.018
    """[m] How far off the TCP, horizontally, a cube is still between the fingers."""
    grasp_height: float = 0.02
    """[m] The same vertically."""
    held_distance: float = 0.04
    """[m] A cube that near, with the gripper at its width, is taken to be held at the start."""
    fall: float = 0.05
    """[m] By which a cube that is not held falls in a control step."""


class KinematicPredictor(Predictor):
    """Integrates hand poses and widths; grasps by attachment.

    Args:
        arms: the arms' names, in the order of the agents.
        goal: (3,) [m], world frame; passed on to the trajectory.
        settings: what is assumed about the arms.
    """

    def __init__(
        self,
        arms: tuple[str, ...],
        goal: Tensor,
        settings: KinematicSettings | None = None,
    ) -> None:
        self.settings = settings or KinematicSettings()
        self.goal = goal
        self.bases = BaseFrames.of(arms, goal.device)
        self.controller = EndEffectorController()
        self.reach = self.settings.reach
        self._known: tuple[FrankaState, _Start] | None = None
        self._lag_cache: dict[tuple[int, torch.dtype, torch.device], _Lags] = {}

    def predict(self, state: FrankaState, chunks: tuple[Tensor, ...]) -> Prediction:
        """Roll all samples out; none ever fails.

        Args:
            state: the state estimate of B worlds.
            chunks: (B, M, K, 7) an arm, each in its arm's base frame.
        """
        actions = torch.stack(chunks, 2)  # (B, M, N, K, 7)
        start = self._start(state)
        lags = self._lags(actions.shape[3], actions)
        position = self._positions(start, lags, actions[..., :6])
        width = self._widths(state.gripper_width, lags, actions[..., 6])
        cube = self._cube(start, position, width)

        def quaternions() -> Tensor:
            return self._quaternions(start, lags, actions[..., 3:6])

        trajectory = HandoffTrajectory(
            hand_position=position.transpose(2, 3),
            gripper_width=width.transpose(2, 3),
            cube_position=cube,
            goal=self.goal,
            hand_quaternion=quaternions,
        )
        return Prediction(trajectory)

    # -- hands ----------------------------------------------------------------------------------

    def _positions(self, start: _Start, lags: _Lags, command: Tensor) -> Tensor:
        """TCP positions (B, M, N, K, 3), world frame, in the workspace, from twists (..., 6)."""
        linear = _shorten(command[..., :3], self.controller.linear_limit)
        angular = _shorten(command[..., 3:], self.controller.angular_limit)
        linear = linear + self._turning_off(start, torch.cat((linear, angular), -1))
        moved = lags.path @ linear + lags.coasting * start.hands.linear_velocity[:, None, :, None]
        position = start.hands.position[:, None, :, None] + moved
        # The floor as a reflected path: a step back up acts at once, however long the push down.
        deficit = (self.settings.lowest_tcp - position[..., 2]).clamp_min(0.0)
        lift = deficit.cummax(-1).values.unsqueeze(-1) * position.new_tensor([0.0, 0.0, 1.0])
        # Reach comes last: shortening lifts what is below the shoulder, so the floor still holds.
        shoulder = position.new_tensor([0.0, 0.0, LINKS[0].d])
        position = shoulder + _shorten(position + lift - shoulder, self.reach)
        return self.bases.paths_to_world(position)

    def _turning_off(self, start: _Start, twist: Tensor) -> Tensor:
        """What joints that turn at constant speed add to a commanded velocity, (B, M, N, K, 3).

        To first order it is the hand's acceleration at constant joint velocities (centripetal and
        Coriolis terms) times the time by which joint velocities are behind the command.
        """
        worlds, arms = start.curvature.shape[:2]
        rows = start.curvature.movedim(-1, 2).reshape(worlds, 1, arms, 6, 18)
        slopes = (twist @ rows).unflatten(-1, (3, 6))
        bend = (slopes @ twist.unsqueeze(-1)).squeeze(-1)
        return self.settings.response_delay * bend

    def _widths(self, start: Tensor, lags: _Lags, command: Tensor) -> Tensor:
        """Gripper widths (B, M, N, K) without an object: exponential approach to the command."""
        fading = start[:, None, :, None] * lags.width_fading
        return command.clamp(0.0, MAX_WIDTH) @ lags.width.mT + fading

    def _quaternions(self, start: _Start, lags: _Lags, command: Tensor) -> Tensor:
        """Hand orientations (B, M, K, N, 4), world frame."""
        command = _shorten(command, self.controller.angular_limit)
        velocity = start.hands.angular_velocity[:, None, :, None]
        turned = quaternion_exp(lags.step @ command + lags.step_coasting * velocity)
        steps, shift = turned.shape[3], 1
        while shift < steps:  # products of all prefixes in log2(K) rounds
            product = quaternion_multiply(turned[:, :, :, shift:], turned[:, :, :, :-shift])
            turned = torch.cat((turned[:, :, :, :shift], product), 3)
            shift *= 2
        before = quaternion_from_matrix(start.hands.rotation)[:, None, :, None]
        in_base = quaternion_multiply(turned, before).transpose(2, 3)
        return quaternion_multiply(self.bases.quaternion, in_base)

    # -- the cube -------------------------------------------------------------------------------

    def _cube(self, start: _Start, hands: Tensor, width: Tensor) -> Tensor:
        """The cube's path (B, M, K, 3): attached where a gripper closes around it."""
        settings = self.settings
        samples, steps = hands.shape[1], hands.shape[3]
        cube = start.cube[:, None].expand(-1, samples, -1)
        if not self._ever_touched(start, cube, hands):
            return self._falling(cube, steps)
        first = start.hand_position[:, None, :, None].expand(-1, samples, -1, -1, -1)
        moved = torch.diff(hands, dim=3, prepend=first).unbind(3)
        narrow = width < CUBE_SIZE
        # Only a gripper that was open around the cube grasps it; closed fingers pass it by.
        before = start.narrow[:, None, :, None].expand(-1, samples, -1, -1)
        closing = (narrow & ~torch.cat((before, narrow[..., :-1]), -1)).unbind(3)
        closed, at = narrow.unbind(3), hands.unbind(3)
        reach = hands.new_tensor(
            [settings.grasp_radius, settings.grasp_radius, settings.grasp_height]
        )
        fall = hands.new_tensor([0.0, 0.0, settings.fall])
        floor = hands.new_tensor([-torch.inf, -torch.inf, CUBE_SIZE / 2])
        held = start.held[:, None].expand(-1, samples, -1)
        path = []
        for step in range(steps):
            carried = (held & closed[step]).to(hands.dtype)
            share = carried / carried.sum(-1, keepdim=True).clamp_min(1.0)
            cube = cube + (moved[step] * share.unsqueeze(-1)).sum(2)
            near = ((at[step] - cube.unsqueeze(2)).abs() < reach).all(-1)
            held = closed[step] & (held | (closing[step] & near))
            cube = torch.where(held.any(-1, keepdim=True), cube, cube - fall)
            cube = torch.maximum(cube, floor)
            path.append(cube)
        return torch.stack(path, 2)

    def _ever_touched(self, start: _Start, cube: Tensor, hands: Tensor) -> bool:
        """Whether any sample could move the cube at all; if none can, there is no path to step."""
        if start.any_held:
            return True
        gap = hands - cube[:, :, None, None]
        radius, height = self.settings.grasp_radius, self.settings.grasp_height
        # A cube in the air falls: hands below it count as well.
        near = (gap[..., :2].abs().amax(-1) < radius) & (gap[..., 2] < height)
        return bool(near.any())

    def _falling(self, cube: Tensor, steps: int) -> Tensor:
        """The path (B, M, K, 3) of a free cube, which ends on the table."""
        drop = self.settings.fall * torch.arange(1, steps + 1, device=cube.device)
        height = (cube[..., 2:] - drop).clamp_min(CUBE_SIZE / 2).unsqueeze(-1)
        return torch.cat((cube[..., None, :2].expand(-1, -1, steps, -1), height), -1)

    # -- what is computed once ------------------------------------------------------------------

    def _start(self, state: FrankaState) -> _Start:
        # A plan asks once for each denoising step, always from the same state.
        if self._known is None or self._known[0] is not state:
            hands = hands_in_base(state)
            position = self.bases.points_to_world(hands.position)
            held = self._held(state, position)
            self._known = (
                state,
                _Start(
                    hands,
                    position,
                    curvature(state.joint_position, self.controller.damping),
                    state.cube_position,
                    held,
                    state.gripper_width < CUBE_SIZE,
                    bool(held.any()),
                ),
            )
        return self._known[1]

    def _held(self, state: FrankaState, position: Tensor) -> Tensor:
        """Which hands hold the cube now: (B, N) booleans."""
        width = state.gripper_width
        around = (width > 0.6 * CUBE_SIZE) & (width < 1.2 * CUBE_SIZE)
        distance = (position - state.cube_position.unsqueeze(1)).norm(dim=-1)
        return around & (distance < self.settings.held_distance)

    def _lags(self, steps: int, like: Tensor) -> _Lags:
        key = (steps, like.dtype, like.device)
        if key not in self._lag_cache:
            self._lag_cache[key] = _lags(self.settings, steps, like)
        return self._lag_cache[key]


@attrs.frozen(eq=False)
class _Start:
    """What the state says about the start, world frame but for ``hands``."""

    hands: HandState
    hand_position: Tensor
    curvature: Tensor
    cube: Tensor
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


def _shorten(vector: Tensor, length: float) -> Tensor:
    """Vectors (..., 3) of at most the given length."""
    return vector * (length / vector.norm(dim=-1, keepdim=True).clamp_min(length))
