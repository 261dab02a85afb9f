"""The scripted single-arm expert of Sec. VI: it picks, places, recovers and yields.

All worlds are batched; each has a phase. Within a phase the action depends on what can be
observed alone, so that a policy without memory can imitate it: the hand's height follows from its
distance to the target (a funnel), not from a stored path. Everything is in the arm's base frame.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import attrs
import torch
from torch import Tensor

from codi_core.planning import NoiseSource
from codi_franka.geometry import quaternion_to_matrix, rotation_error
from codi_franka.observation import nearest_cube_rotation, towards
from codi_franka.robot.cell import CUBE_SIZE
from codi_franka.robot.controller import HOME
from codi_franka.robot.frames import BaseFrames, HandState
from codi_franka.robot.kinematics import forward_kinematics
from codi_franka.robot.parameters import MAX_WIDTH
from codi_franka.robot.reach import OUTER_RADIUS, tool_rotation, tool_tilt
from codi_franka.state import FrankaState
from codi_franka.workspace import graspable, sample_graspable

GOALS_BY_RADIUS = 0.5
"""The share of goals drawn uniformly over the radius: places near the base and at the edge of
reach, where handovers happen, are rare in the area."""

ARC_STEP = 0.6
"""[rad] The farthest that a straight path may turn about the base."""
ARC_RADIUS = 0.3
"""[m] No arc comes nearer to the base's axis."""
ARC_HEIGHT = 0.12
"""[m] No arc passes lower above the table."""

DRAWS = 3
"""Random numbers that an action may depend on."""

Goals = Callable[[Tensor], Tensor]
"""Where cubes that are about to be picked are brought: from (n,) booleans, the worlds that ask, to
(n, 2) [m] in the base frame; whatever in the others."""


class Phase(IntEnum):
    """What the expert is doing."""

    APPROACH = 0
    CLOSE = 1
    CARRY = 2
    OPEN = 3
    RETREAT = 4
    HOMING = 5
    IDLE = 6


@attrs.frozen
class ExpertSettings:
    """How the expert moves."""

    linear_gain: float = 3.0
    """[1/s]"""
    angular_gain: float = 3.0
    """[1/s]"""
    linear_limit: float = 0.45
    """[m/s]"""
    angular_limit: float = 1.8
    """[rad/s]"""
    funnel_slope: float = 1.2
    """Height above the target per horizontal distance from it."""
    look_ahead: float = 0.12
    """[m] How far along its way the hand already turns."""
    clearance: float = 0.12
    """[m] The funnel's greatest height above the target."""
    close_steps: int = 4
    """Control steps for which the gripper closes before it lifts."""
    open_steps: int = 3
    regrasp_probability: float = 0.2
    """That a finished place is followed by another pick without going home."""
    retry_probability: float = 0.8
    """The same after a grasp that failed or a cube that was lost."""
    idle_steps: int = 12
    """The longest pause at home before the next pick, in control steps."""
    yield_distances: tuple[float, float, float] = (0.03, 0.25, 0.6)
    """[m] How near the cube a yielding hand turns back: mostly between the last two, where a
    coordinated arm has to decide, and at times between the first two. Hands that often turned back
    near the cube would teach the policy to waver there."""
    yield_steps: int = 4
    """The earliest step of an approach at which a yielding arm turns back."""
    late_yields: float = 0.2
    """The share of yields that turn back between the first two distances."""


@attrs.define
class ExpertMemory:
    """What the expert remembers of each world; tensors (n,) or (n, 2)."""

    phase: Tensor
    timer: Tensor
    goal: Tensor
    yields: Tensor
    """Booleans: the demonstration is one of yielding, which never closes the gripper."""
    nearest: Tensor
    """How near the cube a yielding hand turns back [m]."""
    again: Tensor
    """Booleans: what follows is another pick, without going home."""


@attrs.frozen(eq=False)
class Seen:
    """What n hands see, each in its arm's base frame.

    Attributes:
        tcp: (n, 3) [m].
        rotation: (n, 3, 3), of the TCP.
        width: (n,) [m].
        cube: (n, 3) [m].
        cube_quaternion: (n, 4), wxyz.
    """

    tcp: Tensor
    rotation: Tensor
    width: Tensor
    cube: Tensor
    cube_quaternion: Tensor

    @classmethod
    def of(cls, state: FrankaState, hands: HandState, bases: BaseFrames) -> Seen:
        """What the hands of B worlds see: n = N·B rows, the first arm's hands first."""
        cube = bases.points_to_base(state.cube_position.unsqueeze(1).expand_as(hands.position))
        quaternion = state.cube_quaternion.unsqueeze(1)
        turned = bases.rotations_to_base(quaternion.expand(*hands.position.shape[:2], 4))
        values = (hands.position, hands.rotation, state.gripper_width, cube, turned)
        return cls(*(value.transpose(0, 1).flatten(0, 1) for value in values))


class Expert:
    """Acts in n worlds at once.

    Args:
        yields: (n,) booleans, which worlds demonstrate yielding.
        noise: where its choices come from, one stream a world.
        settings: how it moves.
        goals: where it brings cubes; by default to random places that it reaches.
    """

    def __init__(
        self,
        yields: Tensor,
        noise: NoiseSource,
        settings: ExpertSettings | None = None,
        goals: Goals | None = None,
    ) -> None:
        self.settings = settings or ExpertSettings()
        self.noise = noise
        self._goals = goals or self._random_goals
        everywhere = torch.ones_like(yields)
        self.memory = ExpertMemory(
            phase=self._first_phase(),
            timer=torch.zeros(len(yields), dtype=torch.long),
            goal=self._goals(everywhere),
            yields=yields,
            nearest=self._turning_distances(everywhere),
            again=torch.zeros_like(yields),
        )
        self.home_position, self.home_rotation = forward_kinematics(torch.tensor(HOME))

    def act(self, seen: Seen, draw: Tensor, allowed: Tensor | None = None) -> Tensor:
        """The actions (n, 7) for what is seen now.

        Args:
            seen: one hand a world.
            draw: (n, ``DRAWS``), uniform on [0, 1): what each world decides by.
            allowed: (n,) booleans, which worlds' hands may go to the cube; the others go home, and
                stay there. None stands for all.
        """
        tcp, rotation, width, cube = seen.tcp, seen.rotation, seen.width, seen.cube
        turned = quaternion_to_matrix(seen.cube_quaternion)
        grasp_rotation = self._grasp_rotation(cube, nearest_cube_rotation(turned, towards(cube)))
        held = (width > 0.03) & (width < 0.07) & ((cube - tcp).norm(dim=-1) < 0.04)
        may = torch.ones_like(held) if allowed is None else allowed
        self._advance(tcp, rotation, width, cube, grasp_rotation, held, draw, may)
        return self._action(tcp, rotation, width, cube, grasp_rotation)

    # -- phases ---------------------------------------------------------------------------------

    def _advance(
        self,
        tcp: Tensor,
        rotation: Tensor,
        width: Tensor,
        cube: Tensor,
        grasp_rotation: Tensor,
        held: Tensor,
        draw: Tensor,
        allowed: Tensor,
    ) -> None:
        """Move each world to its next phase where the present one is over."""
        memory, settings = self.memory, self.settings
        phase = memory.phase
        memory.timer += 1
        wanted = within_reach(cube) & allowed
        aligned = rotation_error(grasp_rotation, rotation).norm(dim=-1) < 0.15
        centred = (cube - tcp)[:, :2].norm(dim=-1) < 0.012
        low = (tcp[:, 2] - self._grasp_height(cube)).abs() < 0.01
        at_goal = (memory.goal - tcp[:, :2]).norm(dim=-1) < 0.012
        open_ = width > 0.9 * MAX_WIDTH
        down = tcp[:, 2] < self._release_height() + 0.009
        at_home = (tcp - self.home_position).norm(dim=-1) < 0.04

        approach, carry = phase == Phase.APPROACH, phase == Phase.CARRY
        # A yielding hand that could close turns back: one that hovers around the cube would teach
        # the policy to hesitate there.
        near = (cube - tcp).norm(dim=-1) < memory.nearest
        late = near & (memory.timer >= settings.yield_steps)
        turn_back = memory.yields & (late | (centred & low))
        lost = carry & ~held
        homing, idle = phase == Phase.HOMING, phase == Phase.IDLE
        closed = (phase == Phase.CLOSE) & ((memory.timer >= settings.close_steps) | ~allowed)
        opened = (phase == Phase.OPEN) & ((memory.timer >= settings.open_steps) | ~allowed)
        retreated = (phase == Phase.RETREAT) & (tcp[:, 2] > 0.11)
        again = memory.again & ~memory.yields & wanted

        self._enter(approach & centred & low & aligned & open_ & ~memory.yields, Phase.CLOSE)
        self._enter(approach & (turn_back | ~wanted), Phase.HOMING)
        self._enter(closed & held, Phase.CARRY)
        self._enter(carry & held & at_goal & down, Phase.OPEN)
        self._retreat((closed & ~held) | lost, draw[:, 0] < settings.retry_probability)
        self._retreat(opened, draw[:, 1] < settings.regrasp_probability)
        self._enter(retreated & again, Phase.APPROACH)
        self._enter(retreated & ~again, Phase.HOMING)
        self._enter(homing & at_home, Phase.IDLE)
        pause = (draw[:, 2] * (settings.idle_steps + 1)).long()
        self._enter(idle & wanted & (memory.timer >= pause), Phase.APPROACH)

    def _retreat(self, where: Tensor, again: Tensor) -> None:
        """Rise from the cube, and in some worlds pick it again."""
        self._enter(where, Phase.RETREAT)
        self.memory.again = torch.where(where, again, self.memory.again)

    def _enter(self, where: Tensor, phase: Phase) -> None:
        memory = self.memory
        memory.phase = torch.where(where, int(phase), memory.phase)
        memory.timer = torch.where(where, 0, memory.timer)
        if phase == Phase.APPROACH and where.any():
            memory.goal = torch.where(where.unsqueeze(-1), self._goals(where), memory.goal)
            memory.nearest = torch.where(where, self._turning_distances(where), memory.nearest)

    def _first_phase(self) -> Tensor:
        """Half of the hands go to the cube from where they start, the others go home first."""
        chosen = self.noise.uniform() < 0.5
        return torch.where(chosen, int(Phase.APPROACH), int(Phase.HOMING))

    def _random_goals(self, where: Tensor) -> Tensor:
        return sample_graspable(self.noise, GOALS_BY_RADIUS, OUTER_RADIUS, where)

    def _turning_distances(self, where: Tensor) -> Tensor:
        with self.noise.only(where):
            draw = self.noise.uniform(2)
        nearest, near, far = self.settings.yield_distances
        late = nearest + draw[:, 0] * (near - nearest)
        early = near + draw[:, 0] * (far - near)
        return torch.where(draw[:, 1] < self.settings.late_yields, late, early)

    # -- actions --------------------------------------------------------------------------------

    @staticmethod
    def _grasp_height(cube: Tensor) -> Tensor:
        """Where the TCP closes around the cube: at its centre, but never into the table."""
        return cube[:, 2].clamp(0.018, 0.3)

    @staticmethod
    def _grasp_rotation(cube: Tensor, cube_rotation: Tensor) -> Tensor:
        """The hand over the cube with its pads flat against two of the sides."""
        return tool_rotation(cube[:, :2], _yaw(cube, cube_rotation))

    def _release_height(self) -> Tensor:
        """Where a cube that leans with the hand touches the table with its lowest edge, (n,)."""
        tilt = tool_tilt(self.memory.goal.norm(dim=-1))
        return CUBE_SIZE / 2 * (tilt.cos() + tilt.sin().abs())

    def _funnel(self, distance: Tensor) -> Tensor:
        settings = self.settings
        return (settings.funnel_slope * (distance - 0.012)).clamp(0.0, settings.clearance)

    def _targets(
        self,
        tcp: Tensor,
        rotation: Tensor,
        width: Tensor,
        cube: Tensor,
        grasp_rotation: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Where the hand should be, (n, 3), and how it should be turned, (n, 3, 3)."""
        phase, goal = self.memory.phase, self.memory.goal
        turn = rotation_error(grasp_rotation, rotation).norm(dim=-1)
        # A hand that is turned wrongly or not open stays above the cube, as if it were beside it.
        shut = (0.9 * MAX_WIDTH - width).clamp_min(0.0)
        miss = (cube - tcp)[:, :2].norm(dim=-1) + 0.06 * (turn - 0.1).clamp_min(0.0) + 3.0 * shut
        over_cube = torch.cat(
            (cube[:, :2], (self._grasp_height(cube) + self._funnel(miss)).unsqueeze(-1)), -1
        )
        to_goal = (goal - tcp[:, :2]).norm(dim=-1)
        over_goal = torch.cat(
            (goal, (self._release_height() + 0.002 + self._funnel(to_goal)).unsqueeze(-1)), -1
        )
        # Lift before moving sideways, or the cube scrapes along the table.
        lifting = (tcp[:, 2] < 0.05) & (to_goal > 0.05)
        over_goal[:, :2] = torch.where(lifting.unsqueeze(-1), tcp[:, :2], over_goal[:, :2])
        above = torch.cat((tcp[:, :2], torch.full_like(tcp[:, 2:], 0.16)), -1)
        home = self.home_position.expand_as(tcp).clone()
        # Rise before going home, so that the fingers clear the cube.
        low = (tcp[:, 2] < 0.09).unsqueeze(-1)
        home = torch.where(low, above, home)
        here = torch.stack((over_cube, tcp, over_goal, tcp, above, home, home), 1)
        position = around_the_base(tcp, here[torch.arange(len(phase)), phase])
        return position, self._orientation(tcp, position, cube, grasp_rotation)

    def _orientation(
        self, tcp: Tensor, position: Tensor, cube: Tensor, grasp_rotation: Tensor
    ) -> Tensor:
        """How to hold the hand where it is about to pass, (n, 3, 3).

        It leans with the place of the hand, not with that of the target: turning first or last
        would run into joint 4's limit near the base.
        """
        over_cube = (self.memory.phase == Phase.APPROACH) | (self.memory.phase == Phase.CLOSE)
        yaw = torch.where(over_cube, _yaw(cube, grasp_rotation), 0.0)
        ahead = tcp + _limit(position - tcp, self.settings.look_ahead)
        return tool_rotation(ahead[:, :2], yaw)

    def _action(
        self,
        tcp: Tensor,
        rotation: Tensor,
        width: Tensor,
        cube: Tensor,
        grasp_rotation: Tensor,
    ) -> Tensor:
        settings, phase = self.settings, self.memory.phase
        position, turned = self._targets(tcp, rotation, width, cube, grasp_rotation)
        linear = _limit(settings.linear_gain * (position - tcp), settings.linear_limit)
        error = rotation_error(turned, rotation)
        angular = _limit(settings.angular_gain * error, settings.angular_limit)
        closed = (phase == Phase.CLOSE) | (phase == Phase.CARRY)
        width = torch.where(closed, 0.0, MAX_WIDTH).unsqueeze(-1)
        return torch.cat((linear, angular, width.to(linear)), -1)


def within_reach(cube: Tensor) -> Tensor:
    """Whether an arm goes to the cube there: (...) for its centres (..., 3) [m], base frame."""
    return graspable(cube[..., :2], OUTER_RADIUS) & (cube[..., 2] > 0.0)


def around_the_base(tcp: Tensor, position: Tensor) -> Tensor:
    """A waypoint on an arc about the base, where a straight path would fold the arm.

    Args:
        tcp: (n, 3), where the hand is.
        position: (n, 3), where it is going.

    Returns:
        Where to head for now, (n, 3): the target itself once the bearings are within
        ``ARC_STEP`` of each other.
    """
    radius, bearing = position[:, :2].norm(dim=-1), torch.atan2(position[:, 1], position[:, 0])
    own_radius, own_bearing = tcp[:, :2].norm(dim=-1), torch.atan2(tcp[:, 1], tcp[:, 0])
    way = bearing - own_bearing
    left = way - way.clamp(-ARC_STEP, ARC_STEP)
    share = (way - left) / torch.where(way.abs() < 1e-6, 1.0, way)
    midway = (own_radius + share * (radius - own_radius)).clamp_min(ARC_RADIUS)
    bearing = bearing - left
    height = position[:, 2].clamp_min(ARC_HEIGHT)
    waypoint = torch.stack((midway * bearing.cos(), midway * bearing.sin(), height), -1)
    return torch.where((left.abs() > 0).unsqueeze(-1), waypoint, position)


def _yaw(point: Tensor, rotation: Tensor) -> Tensor:
    """The heading of ``rotation`` (n, 3, 3) relative to the bearing of ``point`` (n, 3): (n,)."""
    heading = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0])
    turn = heading - torch.atan2(point[:, 1], point[:, 0])
    return torch.atan2(turn.sin(), turn.cos())


def _limit(vector: Tensor, length: float) -> Tensor:
    return vector * (length / vector.norm(dim=-1, keepdim=True).clamp_min(length))
