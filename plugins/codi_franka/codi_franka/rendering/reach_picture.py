"""Pictures about places on the table: who reaches what, and where demonstrations started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codi_core.files.pictures import save_figure
from codi_franka.handoff.options import DEFAULT_GOAL, SUCCESS_RADIUS
from codi_franka.handoff.starts import left_only, sample_start, which_arms_grasp
from codi_franka.rendering import palette
from codi_franka.rendering.paths import draw_goal, draw_table
from codi_franka.robot.cell import ARM_BASES, ARMS, CUBE_SIZE, TABLE_SIZE
from codi_franka.robot.frames import BaseFrames
from codi_franka.robot.reach import beyond_reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

RIGHT_ONLY, BOTH, LEFT_ONLY = "right arm", "both arms", "left arm only"
LEFT_UNPROVEN = "left arm, the right one unproven"
"""Outside the right arm's workspace, but not beyond its reach for certain."""
CLASSES = {
    LEFT_ONLY: palette.ARMS["left"],
    LEFT_UNPROVEN: tuple(0.5 + 0.5 * value for value in palette.ARMS["left"]),
    BOTH: (0.35, 0.36, 0.40),
    RIGHT_ONLY: palette.ARMS["right"],
}


@attrs.frozen(eq=False)
class TableGrid:
    """Who reaches the points of a grid over the table, world frame.

    Attributes:
        x: (nx,) [m].
        y: (ny,) [m].
        graspable: (ny, nx, 2), where the left and the right arm can pick the cube.
        beyond: (ny, nx, 2), where no posture at all brings the left and the right arm's tool
            centre point to a cube's centre.
    """

    x: Array
    y: Array
    graspable: NDArray[np.bool_]
    beyond: NDArray[np.bool_]


def table_grid(step: float = 0.005) -> TableGrid:
    """Evaluate the reach of both arms on the table.

    Args:
        step: between points [m].
    """
    x, y = (np.arange(-size / 2, size / 2 + step / 2, step) for size in TABLE_SIZE)
    points = torch.from_numpy(np.stack(np.meshgrid(x, y), -1)).to(torch.float32)
    return TableGrid(x, y, which_arms_grasp(points).numpy(), out_of_reach(points).numpy())


def out_of_reach(xy: Tensor) -> Tensor:
    """Which arms no posture can bring to a cube there, world frame: (..., 2) to (..., 2)."""
    height = torch.full_like(xy[..., :1], CUBE_SIZE / 2)
    point = torch.cat((xy, height), -1).unsqueeze(-2).expand(*xy.shape[:-1], len(ARMS), 3)
    return beyond_reach(BaseFrames.of(ARMS).points_to_base(point))


def goal_out_of_reach(goal: tuple[float, float], arm: str = "left") -> bool:
    """Whether no posture at all brings an arm to a cube anywhere within the goal's tolerance.

    The arm's reach is a ball around its shoulder, so the point of the circle that is nearest to
    its base decides.

    Args:
        goal: [m], world frame.
        arm: its name.
    """
    base = torch.tensor(ARM_BASES[arm].position[:2])
    away = torch.tensor(goal) - base
    nearest = base + away * (1 - SUCCESS_RADIUS / away.norm()).clamp_min(0.0)
    return bool(out_of_reach(nearest)[ARMS.index(arm)])


def sample_starts(count: int, goal: tuple[float, float], seed: int = 0) -> Tensor:
    """Starts as episodes draw them: (count, 2) [m], world frame."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([sample_start(goal, generator)[:2] for _ in range(count)])


def start_classes(xy: Tensor) -> dict[str, NDArray[np.bool_]]:
    """Which of the starts (n, 2) belong to which of ``CLASSES``: (n,) each."""
    left, right = which_arms_grasp(xy).unbind(-1)
    only = left_only(xy)
    classes = {
        LEFT_ONLY: only,
        LEFT_UNPROVEN: left & ~right & ~only,
        BOTH: left & right,
        RIGHT_ONLY: right & ~left,
    }
    return {name: mask.numpy() for name, mask in classes.items()}


def draw_reach(
    axes: Axes, goal: tuple[float, float] = DEFAULT_GOAL, count: int = 400, seed: int = 0
) -> None:
    """Show that no single arm can move a left-only cube to the goal.

    Shaded: where each arm picks and places. Hatched: where no posture at all brings the left arm
    to a cube, with the goal's circle inside. Dashed: the same limit of the right arm, which no
    posture brings to a cube left of it. Dots: starts, by who can pick them.
    """
    grid = table_grid()
    draw_table(axes)
    for number, arm in enumerate(ARMS):
        _shade(axes, grid, grid.graspable[..., number], palette.ARMS[arm], 0.16)
    _mark_beyond(axes, grid)
    starts = sample_starts(count, goal, seed)
    for name, mask in start_classes(starts).items():
        axes.plot(
            *starts[mask].T.numpy(), ls="", marker="o", ms=3.2, mec="none", color=CLASSES[name],
            alpha=0.9, label=f"start, {name} ({mask.mean():.0%})", zorder=5,
        )  # fmt: skip
    draw_goal(axes, goal)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.11), ncol=3, frameon=False, fontsize=8.5,
        handletextpad=0.3,
    )  # fmt: skip


def write_reach_picture(
    path: Path, goal: tuple[float, float] = DEFAULT_GOAL, count: int = 400, seed: int = 0
) -> Path:
    """Write :func:`draw_reach` with a title that states the result; returns the path."""
    figure = _figure(8.2, 6.6)
    axes = figure.subplots()
    draw_reach(axes, goal, count, seed)
    axes.set_title(
        f"The left arm {'cannot' if goal_out_of_reach(goal) else 'may'} reach the goal's circle in "
        "any posture.\nThe right arm cannot reach starts marked blue in any posture.",
        fontsize=10.5,
    )
    return _save(figure, path)


def draw_start_distribution(axes: Axes, starts: Array, arm: str = "left") -> None:
    """The initial cube positions of a set of demonstrations (Fig. 2 of the paper).

    Args:
        axes: to draw into.
        starts: (n, 2) [m], in the arm's base frame.
        arm: whose base frame; the picture is in the world frame.
    """
    starts = np.asarray(starts, float)
    sign = 1.0 if ARM_BASES[arm].position[0] < 0 else -1.0  # the bases face each other
    world = sign * starts + np.array(ARM_BASES[arm].position[:2])
    draw_table(axes)
    _draw_cubes(axes, world)


def draw_joint_start_distribution(axes: Axes, starts: Array) -> None:
    """The initial cube positions of joint demonstrations, over where each arm picks and places.

    Args:
        axes: to draw into.
        starts: (n, 2) [m], world frame.
    """
    grid = table_grid()
    draw_table(axes)
    for number, arm in enumerate(ARMS):
        _shade(axes, grid, grid.graspable[..., number], palette.ARMS[arm], 0.16)
    _draw_cubes(axes, np.asarray(starts, float))


def write_start_distribution(path: Path, starts: Array, arm: str = "left") -> Path:
    """Write :func:`draw_start_distribution`; returns the path."""
    figure = _figure(7.2, 5.2)
    draw_start_distribution(figure.subplots(), starts, arm)
    return _save(figure, path)


def write_joint_start_distribution(path: Path, starts: Array) -> Path:
    """Write :func:`draw_joint_start_distribution`; returns the path."""
    figure = _figure(7.2, 5.2)
    draw_joint_start_distribution(figure.subplots(), starts)
    return _save(figure, path)


def _draw_cubes(axes: Axes, world: Array) -> None:
    axes.plot(
        *world.T, ls="", marker="o", ms=3.5, mec="white", mew=0.3, color=palette.CUBE, zorder=5
    )
    axes.set_title(f"Initial cube positions of {len(world)} demonstrations", fontsize=11)


def _shade(
    axes: Axes, grid: TableGrid, mask: NDArray[np.bool_], rgb: palette.RGB, alpha: float
) -> None:
    axes.contourf(grid.x, grid.y, mask, levels=[0.5, 1.5], colors=[rgb], alpha=alpha, zorder=1)
    axes.contour(grid.x, grid.y, mask, levels=[0.5], colors=[rgb], linewidths=1, zorder=2)


def _mark_beyond(axes: Axes, grid: TableGrid) -> None:
    """Hatch where the left arm can't reach at all; draw that limit of both arms."""
    from matplotlib import rc_context

    left = grid.beyond[..., 0]
    with rc_context({"hatch.color": (*palette.ARMS["left"], 0.45), "hatch.linewidth": 0.6}):
        axes.contourf(
            grid.x, grid.y, left, levels=[0.5, 1.5], colors=[(1.0, 1.0, 1.0, 0.0)],
            hatches=["///"], zorder=2,
        )  # fmt: skip
    for number, arm in enumerate(ARMS):
        axes.contour(
            grid.x, grid.y, grid.beyond[..., number], levels=[0.5], colors=[palette.ARMS[arm]],
            linewidths=1.4, linestyles="--", zorder=3,
        )  # fmt: skip
        axes.plot([], [], ls="--", lw=1.4, color=palette.ARMS[arm],
                  label=f"{arm} arm: no posture reaches beyond")  # fmt: skip


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    return save_figure(figure, path, bbox_inches="tight", pad_inches=0.12)
