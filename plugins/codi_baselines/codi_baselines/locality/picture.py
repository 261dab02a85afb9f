"""The picture of the study: bias and deviation against h, coupling, M and N, as small multiples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_baselines.locality.cells import AGENTS, HOPS, SAMPLES, STIFFNESS
from codi_baselines.locality.session import Record
from codi_baselines.locality.teams import GRAPHS
from codi_core.errors import MissingExtraError
from codi_core.files.pictures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "osD^v"
LEAST = 1e-3
"""Where the axes of biases begin: smaller ones are lost in the noise of the measurement."""
ZERO = 1e-9
"""A logarithmic axis has no zero; curves leave the panel towards this value."""


@attrs.frozen
class Column:
    """A column of panels.

    Attributes:
        title: the label of its horizontal axis.
        x: where a record stands on it.
        curve: what its curves differ in.
        fixed: what all its records have in common.
        ticks: of its axis; where there is a record by default.
    """

    title: str
    x: Callable[[Record], float]
    curve: str
    fixed: dict[str, Any]
    ticks: tuple[float, ...] = ()


def _hops(record: Record) -> float:
    return len(HOPS) - 1 if record["hops"] is None else record["hops"]


COLUMNS = (
    Column("hops h", _hops, "stiffness", {"agents": AGENTS, "samples": SAMPLES}),
    Column("coupling k", lambda r: r["stiffness"], "hops", {"agents": AGENTS, "samples": SAMPLES}),
    Column("samples M", lambda r: r["samples"], "hops", {"agents": AGENTS, "stiffness": STIFFNESS}),
    Column(
        "agents N",
        lambda r: r["agents"],
        "hops",
        {"samples": SAMPLES, "stiffness": STIFFNESS},
        (2, 4, 8, 16, 32, 64),
    ),
)
LETTERS = {"agents": "N", "samples": "M", "stiffness": "k"}


def write_picture(path: Path, records: Sequence[Record]) -> Path:
    """Draw all records; returns the path.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    # Not pyplot: a picture must neither open windows nor touch the user's backend.
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    figure = Figure(figsize=(13, 10.5), dpi=80)
    FigureCanvasAgg(figure)
    rows = [(graph, quantity) for graph in GRAPHS for quantity in ("bias", "deviation")]
    grid = figure.subplots(len(rows), len(COLUMNS), sharex="col", sharey="row")
    for axes, (graph, quantity) in zip(grid, rows, strict=True):
        here = [record for record in records if record["graph"] == graph]
        for ax, column in zip(axes, COLUMNS, strict=True):
            _panel(ax, column, quantity, here)
        axes[0].set_ylabel(f"{graph}: relative {quantity}", fontsize=9)
    for ax, column in zip(grid[0], COLUMNS, strict=True):
        common = ", ".join(f"{LETTERS[name]} = {value:g}" for name, value in column.fixed.items())
        ax.set_title(f"against {column.title}; {common}", fontsize=9)
    for ax, column in zip(grid[-1], COLUMNS, strict=True):
        ax.set_xlabel(column.title, fontsize=9)
    _legends(figure, grid)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return save_figure(figure, path)


def _panel(ax: Axes, column: Column, quantity: str, records: Sequence[Record]) -> None:
    here = [r for r in records if all(r[name] == value for name, value in column.fixed.items())]
    found = {record[column.curve] for record in here}
    values = [*sorted(found - {None}), *(found & {None})]
    for number, value in enumerate(values):
        own = sorted((r for r in here if r[column.curve] == value), key=column.x)
        style = _style(column.curve, number, value)
        places = [column.x(record) for record in own]
        # A bias that was lost in the noise of the measurement leaves a gap.
        ax.plot(places, [r[quantity] or float("nan") for r in own], **style)
        if quantity == "bias" and value is not None:
            limits = [max(record["limit"], ZERO) for record in own]
            ax.plot(places, limits, ":", color=style["color"], lw=1.4)
    ax.set_yscale("log")
    if quantity == "bias":
        ax.set_ylim(LEAST, 1.5)
    if column.title == "hops h":
        ax.set_xticks(range(len(HOPS)), ["all" if hops is None else str(hops) for hops in HOPS])
    else:
        ax.set_xscale("log", base=2)
        ticks = column.ticks or sorted({column.x(record) for record in here})
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.25)


def _style(curve: str, number: int, value: float | None) -> dict[str, Any]:
    if curve == "stiffness":
        shade = ("#440154", "#3b528b", "#21918c", "#5ec962", "#d8c600")[number % 5]
        return {"color": shade, "marker": ".", "lw": 1.2, "label": f"k = {value:g}"}
    color = "black" if value is None else f"C{number}"
    label = "monte-carlo" if value is None else f"h = {value}"
    return {"color": color, "marker": MARKERS[number], "ms": 4, "lw": 1.2, "label": label}


def _legends(figure: Any, grid: Any) -> None:
    from matplotlib.lines import Line2D

    couplings, couplings_labels = grid[0][0].get_legend_handles_labels()
    hops, hops_labels = grid[0][1].get_legend_handles_labels()
    dotted = Line2D([], [], color="0.4", ls=":")
    style = {"loc": "lower left", "frameon": False, "fontsize": 9}
    figure.legend(couplings, couplings_labels, bbox_to_anchor=(0.03, 0.0), ncols=3, **style)
    figure.legend(
        [*hops, dotted],
        [*hops_labels, "exact limit for many samples"],
        bbox_to_anchor=(0.36, 0.012),
        ncols=6,
        **style,
    )
