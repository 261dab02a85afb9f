"""The pictures of who reaches what agree with the functions that they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from codi_core.planning import NoiseSource
from codi_franka.handoff.options import DEFAULT_GOAL, GOAL_CLEARANCE, SUCCESS_RADIUS
from codi_franka.handoff.starts import left_only
from codi_franka.rendering import palette
from codi_franka.rendering.reach_picture import (
    BOTH,
    CLASSES,
    LEFT_ONLY,
    LEFT_UNPROVEN,
    RIGHT_ONLY,
    draw_reach,
    draw_start_distribution,
    goal_out_of_reach,
    out_of_reach,
    sample_starts,
    start_classes,
    table_grid,
    write_reach_picture,
    write_start_distribution,
)
from codi_franka.robot.reach import MAX_RADIUS, shoulder_distance_bound
from codi_franka.workspace import sample_graspable


def test_no_posture_brings_the_left_arm_to_the_goals_circle() -> None:
    assert goal_out_of_reach(DEFAULT_GOAL, "left")
    assert not goal_out_of_reach(DEFAULT_GOAL, "right")
    assert not goal_out_of_reach((0.1, 0.0), "left")


def test_the_nearest_point_of_the_circle_decides() -> None:
    """All points of the circle are beyond reach if that one is, and it is the first that is not."""
    angle = torch.linspace(0, 2 * torch.pi, 721)
    circle = torch.stack((angle.cos(), angle.sin()), -1) * SUCCESS_RADIUS
    for x in np.linspace(0.2, 0.5, 31):
        goal = (float(x), 0.1)
        everywhere = out_of_reach(circle + torch.tensor(goal))[:, 0].all()
        assert goal_out_of_reach(goal, "left") == bool(everywhere)


def test_the_limit_lies_where_geometry_puts_it() -> None:
    """A sphere around the shoulder, 0.333 m above the base, cut at the cube's centre."""
    radius = np.sqrt(shoulder_distance_bound() ** 2 - (0.333 - 0.025) ** 2)
    points = torch.tensor([[-0.65 + radius - 1e-3, 0.0], [-0.65 + radius + 1e-3, 0.0]])
    assert out_of_reach(points.float())[:, 0].tolist() == [False, True]


def test_the_grid_is_symmetric_and_consistent() -> None:
    grid = table_grid(0.02)
    assert (grid.x[0], grid.y[0]) == pytest.approx((-0.9, -0.6))
    assert (grid.x[-1], grid.y[-1]) == pytest.approx((0.9, 0.6))
    np.testing.assert_array_equal(grid.beyond[:, :, 0], grid.beyond[:, ::-1, 1])
    assert (grid.graspable[:, :, 0] != grid.graspable[:, ::-1, 1]).mean() < 0.01  # grid points
    assert not (grid.graspable & grid.beyond).any()


def test_starts_fall_into_one_class_each() -> None:
    starts = sample_starts(300, DEFAULT_GOAL)
    classes = start_classes(starts)
    assert set(classes) == set(CLASSES)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in classes.values()), 1)
    np.testing.assert_array_equal(classes[LEFT_ONLY], left_only(starts).numpy())
    assert all(mask.mean() > 0.05 for mask in classes.values())
    x = starts[:, 0].numpy()
    assert x[classes[LEFT_ONLY]].max() < x[classes[LEFT_UNPROVEN]].max() < 0.11
    assert np.abs(x[classes[BOTH]]).max() < 0.12
    assert x[classes[RIGHT_ONLY]].min() > -0.11
    distance = (starts - torch.tensor(DEFAULT_GOAL)).norm(dim=-1)
    assert distance.min() >= GOAL_CLEARANCE


def test_left_only_starts_are_out_of_the_right_arms_hand() -> None:
    starts = sample_starts(300, DEFAULT_GOAL)
    only = starts[left_only(starts)]
    distance = (only - torch.tensor([0.65, 0.0])).norm(dim=-1)
    assert distance.min() > MAX_RADIUS
    assert out_of_reach(only)[:, 1].all()


def test_the_reach_picture_shows_the_starts_in_their_colours() -> None:
    axes = Figure().subplots()
    draw_reach(axes, count=120, seed=3)
    starts = sample_starts(120, DEFAULT_GOAL, seed=3)
    lines = {line.get_label().split(" (")[0]: line for line in axes.lines}
    for name, mask in start_classes(starts).items():
        line = lines[f"start, {name}"]
        np.testing.assert_allclose(line.get_xydata(), starts[mask].numpy())
        assert to_rgb(line.get_color()) == CLASSES[name]
    np.testing.assert_allclose(lines["goal"].get_xydata(), [DEFAULT_GOAL])


def test_the_reach_picture_is_written(tmp_path: Path) -> None:
    picture = imread(write_reach_picture(tmp_path / "reach.png", count=40))
    assert min(picture.shape[:2]) > 600
    colours = picture[..., :3].reshape(-1, 3)
    for colour in (*palette.ARMS.values(), palette.GOAL):
        assert (np.abs(colours - colour).max(-1) < 0.02).any()


@pytest.mark.parametrize(("arm", "sign", "base"), [("left", 1, -0.65), ("right", -1, 0.65)])
def test_the_distribution_is_drawn_in_the_world_frame(arm, sign, base) -> None:
    starts = sample_graspable(NoiseSource([(0, world, 0) for world in range(50)])).numpy()
    axes = Figure().subplots()
    draw_start_distribution(axes, starts, arm)
    (dots,) = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots.get_xydata(), sign * starts + [base, 0.0], atol=1e-6)
    assert "50 demonstrations" in axes.get_title()


def test_the_distribution_is_written(tmp_path: Path) -> None:
    path = write_start_distribution(tmp_path / "starts.png", np.array([[0.4, 0.1], [0.5, -0.2]]))
    colours = imread(path)[..., :3].reshape(-1, 3)
    assert (np.abs(colours - palette.CUBE).max(-1) < 0.02).sum() > 10
