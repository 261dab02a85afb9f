"""The loss curve, as CSV and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

import attrs

from codi_core.errors import MissingExtraError

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
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(COLUMNS)
        for row in kept:
            self.append(row)

    def append(self, point: CurvePoint) -> None:
        """Write one row."""
        held_out = "" if point.held_out_loss is None else f"{point.held_out_loss:.6g}"
        row = [point.step, f"{point.loss:.6g}", held_out, f"{point.learning_rate:.4g}"]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow([*row, f"{point.seconds:.1f}"])


def read_curve(path: Path) -> list[CurvePoint]:
    """The rows of a curve's CSV file; none if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            CurvePoint(
                int(row["step"]),
                float(row["loss"]),
                float(row["held_out_loss"]) if row["held_out_loss"] else None,
                float(row["learning_rate"]),
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]


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
    figure.savefig(path, dpi=150)
