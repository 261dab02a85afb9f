"""Where the cube starts, and the proof that no single arm can do the left-only tasks."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from codi_franka.handoff.options import DEFAULT_GOAL, GOAL_CLEARANCE, SUCCESS_RADIUS
from codi_franka.handoff.starts import left_only, sample_start, sample_starts, which_arms_grasp
from codi_franka.robot.cell import ARM_BASES, ARMS, CUBE_SIZE, TABLE_SIZE
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.reach import (
    beyond_reach,
    reachable,
    shoulder_distance_bound,
    solve_pose,
    tool_rotation,
)


def starts(count: int, goal: tuple[float, float] = DEFAULT_GOAL, seed: int = 0) -> Tensor:
    """(count, 3), one stream for all."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([sample_start(goal, generator) for _ in range(count)])


def in_base(xy: Tensor, arm: str, height: float = CUBE_SIZE / 2) -> Tensor:
    """World points of the table (n, 2) in an arm's base frame, (n, 3)."""
    point = torch.cat((xy, torch.full_like(xy[:, :1], height)), -1)
    return BaseFrames.of((arm,)).points_to_base(point[:, None])[:, 0]


def disc(center: tuple[float, float], radius: float, count: int = 2000) -> Tensor:
    """Points that fill a circle of the table, its edge included, (n, 2)."""
    generator = torch.Generator().manual_seed(1)
    draw = torch.rand(count, 2, generator=generator)
    r = radius * draw[:, 0].sqrt()
    r[: count // 4] = radius
    angle = 2 * math.pi * draw[:, 1]
    return torch.tensor(center) + torch.stack((r * angle.cos(), r * angle.sin()), -1)


def test_starts_are_on_the_table_far_from_the_goal_and_in_reach_of_an_arm() -> None:
    for goal in (DEFAULT_GOAL, (-0.3, 0.2)):
        found = starts(400, goal)
        half = torch.tensor(TABLE_SIZE) / 2 - CUBE_SIZE / 2 * math.sqrt(2)
        assert (found[:, :2].abs() < half).all()
        assert (found[:, :2] - torch.tensor(goal)).norm(dim=-1).min() >= GOAL_CLEARANCE == 0.2
        assert which_arms_grasp(found[:, :2]).any(-1).all()
        assert (found[:, 2].abs() <= math.pi).all()


def test_starts_are_uniform_over_the_region() -> None:
    """A chi-square test of 1600 starts against the share of a fine grid in each cell."""
    axis = torch.linspace(-0.5, 0.5, 401)[:-1] + 1 / 800
    grid = torch.cartesian_prod(axis * TABLE_SIZE[0], axis * TABLE_SIZE[1])
    inside = which_arms_grasp(grid).any(-1) & (grid.abs() < torch.tensor(TABLE_SIZE) / 2).all(-1)
    inside &= (grid - torch.tensor(DEFAULT_GOAL)).norm(dim=-1) >= GOAL_CLEARANCE
    count = 1600
    expected = count * _histogram(grid[inside]) / inside.sum()
    found = _histogram(starts(count)[:, :2])
    assert (found[expected == 0] == 0).all()
    cells = expected > 5
    statistic = ((found - expected)[cells].square() / expected[cells]).sum().item()
    freedom = int(cells.sum()) - 1
    assert freedom > 30
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)


def _histogram(xy: Tensor, columns: int = 9, rows: int = 6) -> Tensor:
    size = torch.tensor(TABLE_SIZE)
    cell = ((xy / size + 0.5) * torch.tensor([columns, rows])).long()
    return torch.bincount(cell[:, 0] * rows + cell[:, 1], minlength=columns * rows).double()


def test_the_cube_is_turned_uniformly() -> None:
    yaw = starts(400)[:, 2]
    counts = torch.bincount(((yaw / math.pi + 1) * 4).long().clamp(0, 7), minlength=8)
    assert ((counts - 50).square() / 50.0).sum() < 7 + 4 * math.sqrt(14)


def test_starts_depend_on_nothing_but_the_generator() -> None:
    first = sample_start(DEFAULT_GOAL, torch.Generator().manual_seed(7))
    assert first.tolist() == pytest.approx([0.0600668, -0.3373404, 1.2832724], abs=1e-6)


def test_starts_are_found_as_if_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the first draw of points has none, as if only far corners were far enough."""
    monkeypatch.setattr("codi_franka.handoff.starts.GOAL_CLEARANCE", 1.45)
    goals = [(0.6, 0.2), (-0.6, 0.2), (0.6, -0.3)] * 4
    found = sample_starts(goals, [torch.Generator().manual_seed(seed) for seed in range(12)])
    expected = [one_start(goal, seed, 1.45) for seed, goal in enumerate(goals)]
    assert {draws for _, draws in expected} >= {1, 2, 3}
    assert torch.equal(found, torch.stack([start for start, _ in expected]))


def one_start(goal: tuple[float, float], seed: int, clearance: float) -> tuple[Tensor, int]:
    """A start, and how often points were drawn for it."""
    generator, half = torch.Generator().manual_seed(seed), torch.tensor(TABLE_SIZE) / 2 - 0.04
    for draws in itertools.count(1):
        xy = (2 * torch.rand(64, 2, generator=generator) - 1) * half
        far = (xy - torch.tensor(goal)).norm(dim=-1) >= clearance
        good = xy[which_arms_grasp(xy).any(-1) & far]
        if len(good):
            yaw = (2 * torch.rand(1, generator=generator) - 1) * math.pi
            return torch.cat((good[0], yaw)), draws
    raise AssertionError


def test_left_only_is_where_the_left_arm_picks_and_the_right_one_cannot_reach() -> None:
    found = starts(600)[:, :2]
    chosen = left_only(found)
    assert 0.2 < chosen.float().mean() < 0.5
    assert torch.equal(which_arms_grasp(found)[chosen], torch.tensor([True, False]).expand(
        int(chosen.sum()), 2
    ))  # fmt: skip
    assert not reachable(in_base(found[chosen], "right")[:, :2]).any()
    assert not left_only(torch.tensor([[0.0, 0.0], [0.4, 0.1], [-0.65, 0.0]])).any()
    assert left_only(torch.tensor([-0.3, 0.0]))


def test_the_left_arm_finds_postures_at_left_only_starts() -> None:
    found = starts(200, seed=3)[:, :2]
    points = in_base(found[left_only(found)][:8], "left")
    _, solved = solve_pose(points, tool_rotation(points[:, :2]), seeds=8)
    assert len(points) == 8
    assert solved.all()


def test_the_whole_circle_around_the_goal_is_beyond_the_left_arm_for_certain() -> None:
    """No posture within the joint limits has its TCP within a cube's half diagonal of any point
    where the cube would count as delivered: the left arm can't finish a task."""
    slack = CUBE_SIZE / 2 * math.sqrt(3)
    points = disc(DEFAULT_GOAL, SUCCESS_RADIUS)
    for height in (0.0, CUBE_SIZE / 2, 0.15):
        local = in_base(points, "left", height)
        assert beyond_reach(local).all()
    local = in_base(points, "left")
    nearest = (local - torch.tensor([0.0, 0.0, 0.333])).norm(dim=-1).min()
    assert nearest > shoulder_distance_bound() + slack


def test_the_right_arm_can_finish_and_the_goal_is_symmetric_for_neither() -> None:
    goal = torch.tensor([DEFAULT_GOAL])
    assert reachable(in_base(goal, "right")[:, :2]).all()
    assert not reachable(in_base(goal, "left")[:, :2]).any()


def test_left_only_starts_are_beyond_the_right_arm_for_certain() -> None:
    """Not outside its workspace alone; what lies between the two counts for neither."""
    found = starts(600, seed=5)[:, :2]
    local = in_base(found[left_only(found)], "right")
    assert (local[:, :2].norm(dim=-1) > 0.76).all()
    assert beyond_reach(local).all()
    unproven = ~which_arms_grasp(found)[:, 1] & ~beyond_reach(in_base(found, "right"))
    assert unproven.any()
    assert not left_only(found[unproven]).any()


def test_the_arms_are_named_after_their_bases() -> None:
    assert ARMS == ("left", "right")
    assert ARM_BASES["left"].position[0] == -ARM_BASES["right"].position[0] == -0.65
