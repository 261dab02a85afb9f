"""The figures of the paper: which rows they compare, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from codi_baselines.paper.outcomes import TIME, Measures, Outcome, with_unit
from codi_baselines.paper.panels import (
    canvas,
    draw_distribution,
    draw_happenings,
    draw_success,
    save,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes", list[Outcome]], None]


@attrs.frozen
class Panel:
    """A part of a figure.

    Attributes:
        measure: a field of :class:`Measures`, "time" or "success".
        title: above it.
    """

    measure: str
    title: str

    def drawing(self, outcomes: list[Outcome], measures: Measures) -> Draw | None:
        """What draws it; None if no row has the measure."""
        if self.measure == "success":
            return draw_success
        if self.measure == TIME:
            return partial(draw_distribution, measure=TIME, label="completion time [s]")
        name = getattr(measures, self.measure)
        if not any(outcome.values(name) for outcome in outcomes):
            return None
        if self.measure == "distance":
            label = with_unit("closest distance to the goal", name)
            return partial(draw_distribution, measure=name, label=label, logarithmic=True)
        return partial(draw_happenings, measure=name)


@attrs.frozen
class Comparison:
    """A figure that compares rows.

    Attributes:
        file: its name.
        title: what it is about.
        rows: the labels of its rows.
        panels: its parts, from left to right.
    """

    file: str
    title: str
    rows: tuple[str, ...]
    panels: tuple[Panel, ...]


ACCURACY = Panel("distance", "manipulation accuracy")
EFFICIENCY = Panel(TIME, "task efficiency")
RATE = Panel("success", "success, 95 % intervals")
COLLISIONS = Panel("collisions", "episodes with collisions")
APPROACHES = Panel("approaches", "with simultaneous approaches")
INTERVENTIONS = Panel("interventions", "with interventions of the guard")

COMPARISONS = (
    Comparison(
        "figure-4.png",
        "Fig. 4: methods that use multi-agent demonstrations",
        ("codi", "codi-joint", "cg-joint", "dpmd-joint", "sdac-joint", "expo-joint", "base-joint"),
        (ACCURACY, EFFICIENCY),
    ),
    Comparison(
        "figure-5.png",
        "Fig. 5: all demonstrations, and 20 % of them",
        ("codi", "codi-200", "cg-joint", "cg-joint-200"),
        (RATE, ACCURACY),
    ),
    Comparison(
        "figure-6.png",
        "Fig. 6: joint and independent guidance, nothing keeps the arms apart",
        ("codi-no-guard", "codi-indep-no-guard"),
        (ACCURACY, EFFICIENCY, COLLISIONS, APPROACHES),
    ),
    Comparison(
        "figure-6-guarded.png",
        "Fig. 6 once more, with the guard",
        ("codi", "codi-indep"),
        (ACCURACY, EFFICIENCY, COLLISIONS, APPROACHES, INTERVENTIONS),
    ),
    Comparison(
        "figure-7.png",
        "Fig. 7: estimated guidance, and the gradient of a trained cost model",
        ("codi", "cg-product", "base"),
        (RATE, ACCURACY),
    ),
    Comparison(
        "figure-8.png",
        "Fig. 8: the whole cost, and its goal term alone",
        ("codi", "codi-simple", "codi-joint", "codi-joint-simple"),
        (ACCURACY, EFFICIENCY),
    ),
)


def write_comparisons(
    folder: Path, outcomes: Mapping[str, Outcome], measures: Measures
) -> list[Path]:
    """Draw each figure that has a row; returns the files.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    paths = []
    for comparison in COMPARISONS:
        chosen = [outcomes[label] for label in comparison.rows if label in outcomes]
        drawings = {
            panel.title: drawing
            for panel in comparison.panels
            if chosen and (drawing := panel.drawing(chosen, measures)) is not None
        }
        if drawings:
            figure, axes = canvas(len(drawings), comparison.title)
            for number, (ax, title) in enumerate(zip(axes, drawings, strict=True)):
                drawings[title](ax, chosen)
                ax.set_title(f"({'abcde'[number]}) {title}", fontsize=10)
            _explain(figure, axes)
            paths.append(save(figure, folder / comparison.file))
    return paths


def _explain(figure: Figure, axes: list[Axes]) -> None:
    """One legend for all panels with lines; bars say what they are."""
    for ax in axes:
        lines, names = ax.get_legend_handles_labels()
        if lines:
            columns = min(len(lines), 4)
            figure.legend(
                lines, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
            )
            return
