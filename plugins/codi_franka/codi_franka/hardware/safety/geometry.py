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
from codi_franka.robot.kinematics import jacobian, link_frames
from codi_franka.robot.parameters import FLANGE_OFFSET, TOOL_OFFSET
from codi_franka.robot.self_clearance import clearance_of

Array = NDArray[np.float64]

_ELBOW, _WRIST, _LAST = 4, 5, 7
"""Among an arm's frames, of which the base's is the first."""
_PROBE = 1e-4
"""[rad] The step of the finite differences."""


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
            frames = link_frames(torch.from_numpy(positions))  # (n, 2, 8, 3, 4)
            elbow, wrist = frames[..., _ELBOW, :, 3], frames[..., _WRIST, :, 3]
            last, pointing = frames[..., _LAST, :, 3], frames[..., _LAST, :, 2]
            tool = last + (FLANGE_OFFSET + TOOL_OFFSET) * pointing
            heights = torch.stack((tool, wrist, elbow), -2)[..., 2] - self._heights
            radius = tool[..., :2].norm(dim=-1, keepdim=True) - self._base
            itself = clearance_of(frames).unsqueeze(-1) - self._self
            own = torch.cat((heights, tool - self._low, self._high - tool, radius, itself), -1)
            apart = arm_clearance(self._in_world(tool, wrist, elbow)) - self._apart
            return _numbers(torch.cat((own.flatten(1), apart.unsqueeze(-1)), -1))

    def _in_world(self, *points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        tool, wrist, elbow = self.bases.arms_to_world(points)
        return tool, wrist, elbow

    def slopes(self, positions: Array) -> Array:
        """How the distances change with the joints, (C, 14) [m/rad].

        Args:
            positions: (2, 7) joint positions [rad].
        """
        probes = np.concatenate((np.zeros((1, 14)), _PROBE * np.eye(14))).reshape(-1, 2, 7)
        tried = self.distances(positions + probes)
        slopes: Array = (tried[1:] - tried[0]).T / _PROBE
        return slopes

    def hand_speeds(self, positions: Array, velocities: Array) -> Array:
        """The speeds of the tool centre points (2,) [m/s].

        Args:
            positions: (2, 7) [rad].
            velocities: (2, 7) [rad/s].
        """
        with torch.inference_mode():
            rows = _numbers(jacobian(torch.from_numpy(positions))[:, :3])
        speeds: Array = np.linalg.norm((rows @ velocities[..., None])[..., 0], axis=-1)
        return speeds


def _numbers(tensor: Tensor) -> Array:
    array: Array = tensor.numpy()
    return array
