"""The picture of the benchmark: one curve an estimator, against evaluations and seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from codi_baselines.closed_form.estimators import Role
from codi_baselines.closed_form.table import Row
from codi_core.errors import MissingExtraError
from codi_core.files.pictures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVEL = "0.5"
"""The noise level whose error of g is drawn."""

STYLES: Mapping[Role, str] = {
    Role.PRINTED: "-",
    Role.GUIDANCE: "-",
    Role.PEER: "--",
    Role.BOUND: ":",
}
MARKERS = "osD^vP*X"


Scale = tuple[str, Mapping[str, float]]
LOG: Scale = ("log", {})


@attrs.frozen
class Quantity:
    """A row of panels.

    Attributes:
        title: what is drawn.
        value: the quantity of a row, or None where it has none.
        scale: of its axis, with the scale's settings.
    """

    title: str
    value: Callable[[Row], float | None]
    scale: Scale = LOG


QUANTITIES = (
    Quantity(f"relative error of g at t = {LEVEL}", lambda row: row.errors.get(LEVEL)),
    Quantity("E[J]/λ", lambda row: row.cost),
    # Distances estimated without bias may be a little negative.
    Quantity(
        "energy distance to π", lambda row: row.energy_distance, ("symlog", {"linthresh": 0.02})
    ),
    Quantity(
        "modes' distance above chance",
        lambda row: row.mode_distance - row.mode_floor,
        ("linear", {}),
    ),
)
COSTS: tuple[tuple[str, Callable[[Row], float]], ...] = (
    ("evaluations a plan", lambda row: row.evaluations),
    ("seconds a plan", lambda row: row.seconds),
)


def write_picture(
    path: Path,
    rows: Sequence[Row],
    roles: Mapping[str, Role],
    references: Mapping[int, Mapping[str, float]],
) -> Path:
    """Draw all rows; returns the path.

    Args:
        path: where.
        rows: what was measured.
        roles: each estimator's role, by its label.
        references: by dimension, the exact values of E[J]/λ by their description.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    # Not pyplot: a picture must neither open windows nor touch the user's backend.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    dimensions = sorted(references)
    columns = [(label, cost, dimension) for label, cost in COSTS for dimension in dimensions]
    height = 2.4 * len(QUANTITIES) + 1.0
    figure = Figure(figsize=(2.9 * len(columns), height), dpi=80)
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(QUANTITIES), len(columns), squeeze=False, sharex="col")
    for axes, quantity in zip(grid, QUANTITIES, strict=True):
        for ax, (label, cost, dimension) in zip(axes, columns, strict=True):
            here = [row for row in rows if row.dimension == dimension]
            for number, name in enumerate(roles):
                own = [row for row in here if row.estimator == name and row.evaluations > 0]
                points = [(cost(row), value) for row in own if (value := quantity.value(row))]
                _curve(ax, name, sorted(points), number, roles[name])
            _frame(ax, quantity, references[dimension])
            ax.set_title(f"D = {dimension}", fontsize=9)
            if quantity is QUANTITIES[-1]:
                ax.set_xlabel(label, fontsize=9)
        axes[0].set_ylabel(quantity.title, fontsize=9)
    handles, labels = grid[1][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=7, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.8 / height, 1, 1))
    return save_figure(figure, path)


def _curve(
    ax: Axes, label: str, points: Sequence[tuple[float, float]], number: int, role: Role
) -> None:
    if not points:
        return
    printed, bound = role is Role.PRINTED, role is Role.BOUND
    ax.plot(
        [x for x, _ in points],
        [y for _, y in points],
        STYLES[role],
        color="black" if printed else "0.55" if bound else f"C{number % 10}",
        marker=MARKERS[number % len(MARKERS)],
        markersize=3.5,
        lw=2 if printed else 1,
        label=label,
    )


def _frame(ax: Axes, quantity: Quantity, references: Mapping[str, float]) -> None:
    scale, settings = quantity.scale
    ax.set_xscale("log")
    ax.set_yscale(scale, **settings)
    ax.tick_params(which="both", labelsize=7)
    ax.grid(alpha=0.25)
    if quantity.title == "E[J]/λ":
        for style, (name, value) in zip(("-", "--"), references.items(), strict=False):
            ax.axhline(value, color="C2", lw=1, ls=style, label=name)
