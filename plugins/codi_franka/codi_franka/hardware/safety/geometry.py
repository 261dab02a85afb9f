"""How far arms are inside of what their cell allows, from their joint positions alone.

The shapes are those of :mod:`codi_franka.robot.clearance`, tool and forearm as capsules, but their
ends follow from the joints: nothing is taken for granted about how the hand is held. For what an
arm may hit of itself they are those of :mod:`codi_franka.robot.self_clearance`.
"""

from __future__ import annotations

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_franka.hardware.safety.settings import SafetySettings
from codi_franka.hardware.safety.verdict import Reason, Rejection
from codi_franka.robot.cell import ARMS
from codi_franka.robot.clearance import FOREARM_RADIUS, TOOL_RADIUS, arm_clearance
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.kinematics import link_frames
from codi_franka.robot.parameters import FLANGE_OFFSET, TOOL_OFFSET
from codi_franka.robot.self_clearance import clearance_of

Array = NDArray[np.float64]

_ELBOW, _WRIST, _LAST = 4, 5, 7
"""Among an arm's frames, of which the base's is the first."""
_PROBE = 1e-4
"""[rad] The step of the finite differences."""
_PROBES = np.concatenate((np.zeros((1, 14)), _PROBE * np.eye(14))).reshape(-1, 2, 7)
"""No step, and a small one of each joint [rad]."""


@attrs.frozen
class Bound:
    """What one distance means.

    Attributes:
        arm: whose it is, by number; None where it is about both.
        reason: what it is about.
        limit: the bound itself [m].
        upper: whether the bound is an upper one.
    """

    arm: int | None
    reason: Reason
    limit: float
    upper: bool = False

    def rejection(self, distance: float) -> Rejection:
        """What is to be said when this much is left [m]."""
        value = self.limit - distance if self.upper else self.limit + distance
        return Rejection(
            None if self.arm is None else ARMS[self.arm], self.reason, value, self.limit
        )


@attrs.frozen(eq=False)
class Survey:
    """How arms are now, and how they would be if both were stopped.

    Attributes:
        now: (C,) how far arms are inside of all bounds [m], negative beyond.
        rest: (C,) likewise where they come to rest.
        slopes: (C, 14) how the latter change with the joints [m/rad].
        hands: (2, 7, 3) how the tool centre points move with each joint now [m/rad].
    """

    now: Array
    rest: Array
    slopes: Array
    hands: Array

    def hand_speeds(self, velocities: Array) -> Array:
        """The speeds of the tool centre points (2,) [m/s] at joint velocities (2, 7) [rad/s]."""
        speeds: Array = np.linalg.norm((velocities[:, None] @ self.hands)[:, 0], axis=-1)
        return speeds


class CellGeometry:
    """Measures distances to all bounds.

    Args:
        settings: where the bounds are.

    Attributes:
        bounds: what each of the distances means.
    """

    def __init__(self, settings: SafetySettings) -> None:
        self.bases = BaseFrames.of(ARMS, dtype=torch.float64)
        self._low = torch.tensor(settings.box_lowest, dtype=torch.float64)
        self._high = torch.tensor(settings.box_highest, dtype=torch.float64)
        heights = (
            settings.hand_height,
            TOOL_RADIUS + settings.link_clearance,
            FOREARM_RADIUS + settings.link_clearance,
        )
        self._heights = torch.tensor(heights, dtype=torch.float64)
        self._base, self._apart = settings.base_distance, settings.arm_distance
        self._self = settings.self_distance
        self.bounds = tuple(
            bound for arm in range(len(ARMS)) for bound in self._of_arm(arm, settings, heights)
        ) + (Bound(None, Reason.SEPARATION, settings.arm_distance),)
        self.owners = np.array(
            [[bound.arm in (arm, None) for arm in range(len(ARMS))] for bound in self.bounds]
        )

    @staticmethod
    def _of_arm(
        arm: int, settings: SafetySettings, heights: tuple[float, ...]
    ) -> tuple[Bound, ...]:
        table = tuple(Bound(arm, Reason.TABLE, height) for height in heights)
        low = tuple(Bound(arm, Reason.WORKSPACE, bound) for bound in settings.box_lowest)
        high = tuple(Bound(arm, Reason.WORKSPACE, bound, True) for bound in settings.box_highest)
        base = Bound(arm, Reason.WORKSPACE, settings.base_distance)
        return *table, *low, *high, base, Bound(arm, Reason.SELF, settings.self_distance)

    def distances(self, positions: Array) -> Array:
        """How far arms are inside of all bounds: (n, C) [m], negative beyond.

        Args:
            positions: (n, 2, 7) joint positions [rad].
        """
        with torch.inference_mode():
            return self._distances(link_frames(torch.from_numpy(positions))).numpy()

    def survey(self, now: Array, rest: Array) -> Survey:
        """All that a command is judged by, in one batch: its size costs less than a second one.

        Args:
            now: (2, 7) the joint positions [rad].
            rest: (2, 7) where they are if both arms are stopped [rad].
        """
        places = np.concatenate((now[None], rest + _PROBES))
        with torch.inference_mode():
            frames = link_frames(torch.from_numpy(places))
            distances = self._distances(frames).numpy()
            hands = _hand_columns(frames[0]).numpy()
        return Survey(distances[0], distances[1], (distances[2:] - distances[1]).T / _PROBE, hands)

    def _distances(self, frames: Tensor) -> Tensor:
        """The distances (n, C) of arms whose frames are (n, 2, 8, 3, 4)."""
        elbow, wrist = frames[..., _ELBOW, :, 3], frames[..., _WRIST, :, 3]
        tool = _tool(frames)
        heights = torch.stack((tool, wrist, elbow), -2)[..., 2] - self._heights
        radius = tool[..., :2].norm(dim=-1, keepdim=True) - self._base
        itself = clearance_of(frames).unsqueeze(-1) - self._self
        own = torch.cat((heights, tool - self._low, self._high - tool, radius, itself), -1)
        apart = arm_clearance(self._in_world(tool, wrist, elbow)) - self._apart
        return torch.cat((own.flatten(1), apart.unsqueeze(-1)), -1)

    def _in_world(self, *points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tool, wrist, elbow = self.bases.arms_to_world(points)
        return tool, wrist, elbow


def _tool(frames: Tensor) -> Tensor:
    """The tool centre points (..., 3) of arms whose frames are (..., 8, 3, 4)."""
    last, pointing = frames[..., _LAST, :, 3], frames[..., _LAST, :, 2]
    return last + (FLANGE_OFFSET + TOOL_OFFSET) * pointing


def _hand_columns(frames: Tensor) -> Tensor:
    """How tool centre points move with each joint, (..., 7, 3) [m/rad]."""
    axes, origins = frames[..., 1:, :, 2], frames[..., 1:, :, 3]
    return torch.linalg.cross(axes, _tool(frames).unsqueeze(-2) - origins)
