"""Where the cube starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codi_franka.handoff.options import GOAL_CLEARANCE
from codi_franka.robot.cell import ARMS, CUBE_SIZE, TABLE_SIZE
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.reach import beyond_reach
from codi_franka.workspace import EDGE_MARGIN, graspable


def which_arms_grasp(xy: Tensor) -> Tensor:
    """Which arms can pick the cube at points of the table, world frame: (..., 2) to (..., 2)."""
    return torch.stack([graspable(_in_base(xy, arm)) for arm in ARMS], -1)


def left_only(xy: Tensor) -> Tensor:
    """Where the left arm can pick the cube and no posture brings the right hand to it: (...).

    The latter is a proof, from the lengths of the links. Between the right arm's workspace and
    what is proven lie starts that count for neither.
    """
    cube = torch.cat((xy, torch.full_like(xy[..., :1], CUBE_SIZE / 2)), -1)
    return graspable(_in_base(xy, "left")) & beyond_reach(_point_in_base(cube, "right"))


def sample_start(goal: tuple[float, float], generator: torch.Generator) -> Tensor:
    """One start (x [m], y [m], yaw [rad]), uniform over where at least one arm can pick.

    It keeps a distance of at least ``GOAL_CLEARANCE`` from the goal.
    """
    return sample_starts([goal], [generator])[0]


def sample_starts(
    goals: Sequence[tuple[float, float]], generators: Sequence[torch.Generator]
) -> Tensor:
    """Starts (n, 3) as :func:`sample_start` draws them, from a generator for each goal."""
    half = torch.tensor(TABLE_SIZE) / 2 - EDGE_MARGIN
    places, starts = torch.tensor(goals).view(-1, 1, 2), torch.zeros(len(goals), 3)
    wanted = list(range(len(goals)))
    while wanted:
        # One judgement of all: that of a single episode takes as long.
        draws = [torch.rand(64, 2, generator=generators[row]) for row in wanted]
        xy = (2 * torch.stack(draws) - 1) * half
        far = (xy - places[wanted]).norm(dim=-1) >= GOAL_CLEARANCE
        good = which_arms_grasp(xy).any(-1) & far
        first = good.int().argmax(1)
        starts[wanted, :2] = xy[range(len(wanted)), first]
        wanted = [row for row, found in zip(wanted, good.any(1).tolist(), strict=True) if not found]
    yaws = torch.cat([torch.rand(1, generator=generator) for generator in generators])
    starts[:, 2] = (2 * yaws - 1) * torch.pi
    return starts


def _in_base(xy: Tensor, arm: str) -> Tensor:
    return _point_in_base(torch.cat((xy, torch.zeros_like(xy[..., :1])), -1), arm)[..., :2]


def _point_in_base(point: Tensor, arm: str) -> Tensor:
    return BaseFrames.of((arm,)).points_to_base(point.unsqueeze(-2))[..., 0, :]
