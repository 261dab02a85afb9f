"""The loss curve, as CSV and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from codi_core.errors import MissingExtraError
from codi_core.files.durable import write_durably
from codi_core.files.pictures import save_figure

COLUMNS = ("step", "loss", "held_out_loss", "learning_rate", "seconds")


@attrs.frozen
class CurvePoint:
    """One row of the curve.

    Attributes:
        step: optimisation steps done.
        loss: mean training loss since the row before.
        held_out_loss: loss of the averaged weights on held-out data, if it was measured.
        learning_rate: of the last step.
        seconds: training time since the start [s], pauses between resumed runs left out.
        measured: what else was measured at this step, by name.
    """

    step: int
    loss: float
    held_out_loss: float | None
    learning_rate: float
    seconds: float
    measured: Mapping[str, float] = attrs.field(factory=dict)


class LossCurve:
    """Appends rows to a CSV file at once, so that a kill loses none.

    Args:
        path: the CSV file.
        resume_from: keep the rows up to this step and drop later ones; 0 starts a new file.
        measures: the names of what else is measured; each has a column.
    """

    def __init__(self, path: Path, resume_from: int = 0, measures: Sequence[str] = ()) -> None:
        self.path = path
        self._measures = tuple(measures)
        kept = [row for row in read_curve(path) if row.step <= resume_from] if resume_from else []
        rows = ((*COLUMNS, *self._measures), *map(self._cells, kept))
        write_durably(path, "".join(map(_line, rows)))

    def append(self, point: CurvePoint) -> None:
        """Write one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(self._cells(point)))

    def _cells(self, point: CurvePoint) -> tuple[str, ...]:
        numbers = (point.loss, point.held_out_loss)
        loss, held_out = (_number(value) for value in numbers)
        rate, seconds = f"{point.learning_rate:.4g}", f"{point.seconds:.1f}"
        others = (_number(point.measured.get(name)) for name in self._measures)
        return str(point.step), loss, held_out, rate, seconds, *others


def read_curve(path: Path) -> list[CurvePoint]:
    """The rows of a curve's CSV file; none if the file does not exist.

    A row that a crash or a full disk has torn is left out.
    """
    if not path.is_file():
        return []
    text = path.read_bytes().decode(errors="replace")
    whole = text[: text.rfind("\n") + 1].splitlines()
    rows = list(csv.reader(whole))
    points = (_point(row, rows[0][len(COLUMNS) :]) for row in rows[1:])
    return [point for point in points if point is not None]


def _point(row: Sequence[str], measures: Sequence[str]) -> CurvePoint | None:
    try:
        step, loss, held_out, rate, seconds = row[: len(COLUMNS)]
        others = zip(measures, row[len(COLUMNS) :], strict=True)
        return CurvePoint(
            int(step),
            float(loss),
            float(held_out) if held_out else None,
            float(rate),
            float(seconds),
            {name: float(value) for name, value in others if value},
        )
    except ValueError:
        return None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _line(cells: Sequence[str]) -> str:
    return ",".join(cells) + "\r\n"


def draw_curve(points: list[CurvePoint], path: Path) -> None:
    """Draw the losses against the steps into a PNG file."""
    try:
        from matplotlib.figure import Figure  # heavy, and not needed to train
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    measures = list(dict.fromkeys(name for point in points for name in point.measured))
    rows = 1 + len(measures)
    figure = Figure(figsize=(7, 1.5 + 2.5 * rows), layout="constrained")
    axes, *others = figure.subplots(rows, squeeze=False, sharex=True)[:, 0]
    axes.plot([p.step for p in points], [p.loss for p in points], lw=1, label="training")
    measured = [(p.step, p.held_out_loss) for p in points if p.held_out_loss is not None]
    if measured:
        steps, losses = zip(*measured, strict=True)
        axes.plot(steps, losses, "o-", ms=3, lw=1, label="held out, averaged weights")
    axes.set(ylabel="loss", yscale="log")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    for beside, name in zip(others, measures, strict=True):
        known = [(p.step, p.measured[name]) for p in points if name in p.measured]
        beside.plot(*zip(*known, strict=True), "o-", ms=3, lw=1)
        beside.set(ylabel=name)
        beside.grid(True, alpha=0.3)
    (others[-1] if others else axes).set(xlabel="step")
    save_figure(figure, path, dpi=150)
