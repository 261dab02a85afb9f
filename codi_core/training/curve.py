"""The loss curve, as CSV and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import attrs

from codi_core.errors import MissingExtraError
from codi_core.files.durable import replacing, write_durably

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
    """

    step: int
    loss: float
    held_out_loss: float | None
    learning_rate: float
    seconds: float


class LossCurve:
    """Appends rows to a CSV file at once, so that a kill loses none.

    Args:
        path: the CSV file.
        resume_from: keep the rows up to this step and drop later ones; 0 starts a new file.
    """

    def __init__(self, path: Path, resume_from: int = 0) -> None:
        self.path = path
        kept = [row for row in read_curve(path) if row.step <= resume_from] if resume_from else []
        write_durably(path, "".join(map(_line, (COLUMNS, *map(_cells, kept)))))

    def append(self, point: CurvePoint) -> None:
        """Write one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(_cells(point)))


def read_curve(path: Path) -> list[CurvePoint]:
    """The rows of a curve's CSV file; none if the file does not exist.

    A row that a crash or a full disk has torn is left out.
    """
    if not path.is_file():
        return []
    text = path.read_bytes().decode(errors="replace")
    whole = text[: text.rfind("\n") + 1].splitlines()
    points = (_point(row) for row in csv.reader(whole[1:]))
    return [point for point in points if point is not None]


def _point(row: Sequence[str]) -> CurvePoint | None:
    try:
        step, loss, held_out, rate, seconds = row
        measured = float(held_out) if held_out else None
        return CurvePoint(int(step), float(loss), measured, float(rate), float(seconds))
    except ValueError:
        return None


def _cells(point: CurvePoint) -> tuple[str, ...]:
    held_out = "" if point.held_out_loss is None else f"{point.held_out_loss:.6g}"
    rate, seconds = f"{point.learning_rate:.4g}", f"{point.seconds:.1f}"
    return str(point.step), f"{point.loss:.6g}", held_out, rate, seconds


def _line(cells: Sequence[str]) -> str:
    return ",".join(cells) + "\r\n"


def draw_curve(points: list[CurvePoint], path: Path) -> None:
    """Draw the losses against the steps into a PNG file."""
    try:
        from matplotlib.figure import Figure  # heavy, and not needed to train
    except ImportError as error:
        raise MissingExtraError("pictures", "plots") from error

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([p.step for p in points], [p.loss for p in points], lw=1, label="training")
    measured = [(p.step, p.held_out_loss) for p in points if p.held_out_loss is not None]
    if measured:
        steps, losses = zip(*measured, strict=True)
        axes.plot(steps, losses, "o-", ms=3, lw=1, label="held out, averaged weights")
    axes.set(xlabel="step", ylabel="weighted denoising loss (Eq. 4)", yscale="log")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    with replacing(path) as stream:
        figure.savefig(stream, dpi=150, format="png")
