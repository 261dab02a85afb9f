"""The task seen from above, in matplotlib: the table, the arms' reach, and how things moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codi_core.tasks import Trace
from codi_franka.action import RATE_HZ
from codi_franka.handoff.options import SUCCESS_RADIUS
from codi_franka.rendering import palette
from codi_franka.robot.cell import ARM_BASES, ARMS, TABLE_SIZE
from codi_franka.robot.reach import MAX_RADIUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIME_COLOURS = "plasma"
_MARGIN = 0.06


def draw_table(axes: Axes, goal: tuple[float, float] | None = None) -> None:
    """The table, both bases, how far each arm reaches, and the goal with its tolerance.

    Args:
        axes: get equal scales and limits just outside the table, world frame [m].
        goal: its place on the table [m], if it is to be drawn.
    """
    from matplotlib.patches import Circle, Rectangle

    half = np.array(TABLE_SIZE) / 2
    table = Rectangle(
        (-half[0], -half[1]), *TABLE_SIZE, facecolor="#f6f1ea", edgecolor=palette.TABLE_EDGE,
        linewidth=1.2, zorder=0,
    )  # fmt: skip
    axes.add_patch(table)
    for arm in ARMS:
        base, colour = ARM_BASES[arm].position[:2], palette.ARMS[arm]
        reach = Circle(base, MAX_RADIUS, fill=False, ls=":", lw=1, edgecolor=colour, zorder=1)
        axes.add_patch(reach)
        reach.set_clip_path(table)
        axes.add_patch(Circle(base, 0.05, facecolor=colour, edgecolor="white", zorder=4))
    if goal is not None:
        draw_goal(axes, goal)
    axes.set(
        xlim=(-half[0] - _MARGIN, half[0] + _MARGIN), ylim=(-half[1] - _MARGIN, half[1] + _MARGIN),
        aspect="equal",
    )  # fmt: skip
    axes.set_xlabel("x [m]", fontsize=9)
    axes.set_ylabel("y [m]", fontsize=9)
    axes.tick_params(labelsize=8)


def draw_goal(axes: Axes, goal: tuple[float, float]) -> None:
    """A star at the goal and the circle within which the cube counts as delivered."""
    from matplotlib.patches import Circle

    axes.add_patch(
        Circle(goal, SUCCESS_RADIUS, facecolor=(*palette.GOAL, 0.18), edgecolor=palette.GOAL,
               lw=1.2, zorder=2)
    )  # fmt: skip
    axes.plot(
        *goal, marker="*", ms=11, color=palette.GOAL, mec="white", ls="", zorder=7, label="goal"
    )


def draw_paths(axes: Axes, trace: Trace) -> None:
    """Both hands' paths in the arms' colours, and the cube's path coloured by time.

    Args:
        axes: to draw into, with its own colour bar beside it.
        trace: ``hand_position`` (T + 1, N, 3), ``cube_position`` (T + 1, 3) and ``goal``
            (T + 1, 3), world frame [m].
    """
    cube = np.asarray(trace["cube_position"], float)
    goal = np.asarray(trace["goal"], float)[0]
    hands = np.asarray(trace["hand_position"], float)
    draw_table(axes, (float(goal[0]), float(goal[1])))
    for number, arm in enumerate(ARMS):
        axes.plot(
            hands[:, number, 0], hands[:, number, 1], color=palette.ARMS[arm], lw=1, alpha=0.65,
            zorder=3, label=f"{arm} hand",
        )  # fmt: skip
    _draw_cube(axes, cube)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.24), ncol=5, frameon=False, fontsize=8,
        handlelength=1.2, columnspacing=1.0, handletextpad=0.4,
    )  # fmt: skip


def _draw_cube(axes: Axes, cube: NDArray[np.float64]) -> None:
    from matplotlib.collections import LineCollection

    time = np.arange(len(cube)) / RATE_HZ
    pieces = np.stack((cube[:-1, :2], cube[1:, :2]), axis=1)
    line = LineCollection(list(pieces), cmap=TIME_COLOURS, lw=3, zorder=5, capstyle="round")
    line.set_array(time[1:])
    line.set_clim(0, max(float(time[-1]), 1 / RATE_HZ))
    axes.add_collection(line)
    style: dict[str, Any] = {"marker": "s", "ms": 7, "mec": "black", "ls": "", "zorder": 6}
    axes.plot(*cube[0, :2], mfc="white", label="cube, start", **style)
    axes.plot(*cube[-1, :2], mfc=palette.CUBE, label="cube, end", **style)
    bar = axes.figure.colorbar(line, ax=axes, shrink=0.55, pad=0.02, aspect=18)
    bar.set_label("time [s]", fontsize=8)
    bar.ax.tick_params(labelsize=8)
