"""The sheet to print: markers to cut out, a ruler to check the print with, and a board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from codi_core.errors import UsageError
from codi_franka.vision.board import Board
from codi_franka.vision.detection import dictionary
from codi_franka.vision.markers import FACES, MODULES, Face, MarkedBox

PAPERS = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}
"""Width and height [mm]."""
_MARGIN = 15.0
"""[mm] Printers leave the edges white."""
_GAP = 14.0
_TOP, _BELOW = 10.0, 28.0
"""[mm] Above the board, and below it for its text and ruler."""
_RULER = 100.0
_INCH = 25.4


def write_sheet(path: Path, box: MarkedBox, board: Board, paper: str = "a4") -> Path:
    """Write a PDF to scale: page 1 has the box's markers, page 2 the calibration board.

    Args:
        path: of the PDF.
        box: what the markers are for.
        board: for calibration.
        paper: one of :data:`PAPERS`.

    Raises:
        UsageError: something doesn't fit on the paper.
    """
    with PdfPages(path) as pages:
        for page in sheet_pages(box, board, paper):
            pages.savefig(page)
    return path


def sheet_pages(box: MarkedBox, board: Board, paper: str = "a4") -> list[Figure]:
    """The pages; see :func:`write_sheet`."""
    return [_markers_page(box, paper), _board_page(board, paper)]


def _page(paper: str) -> tuple[Figure, Any]:
    width, height = PAPERS[paper]
    figure = Figure(figsize=(width / _INCH, height / _INCH))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.axis("off")
    return figure, axes


def _markers_page(box: MarkedBox, paper: str) -> Figure:
    figure, axes = _page(paper)
    width, height = PAPERS[paper]
    top = height - _MARGIN
    size = " x ".join(f"{1000 * edge:g}" for edge in box.size)
    axes.text(_MARGIN, top, f"Markers for a box of {size} mm", va="top", fontsize=12)
    axes.text(
        _MARGIN,
        top - 7,
        f"Print at 100 %. The ruler must measure {_RULER:g} mm, each black square "
        f"{1000 * box.marker_size:g} mm. Cut along the\nthin lines. Glue each on its face, the "
        "triangle towards the direction that it names; x, y, z are the box's own axes.",
        va="top",
        fontsize=8,
    )
    _ruler(axes, _MARGIN, top - 22)
    x, y, row = _MARGIN, top - 36, 0.0
    for face in FACES:
        wide, high = (1000 * edge for edge in box.face_size(face))
        if x + wide > width - _MARGIN:
            x, y, row = _MARGIN, y - row - _GAP, 0.0
        _draw_face(axes, box, face, x, y - high)
        x, row = x + wide + _GAP, max(row, high)
        if y - row < _MARGIN or wide > width - 2 * _MARGIN:
            raise UsageError(f"a box of {size} mm is too large for a page of {paper} paper")
    return figure


def _draw_face(axes: Any, box: MarkedBox, face: Face, x: float, y: float) -> None:
    wide, high = (1000 * edge for edge in box.face_size(face))
    axes.add_patch(Rectangle((x, y), wide, high, fill=False, linewidth=0.3, edgecolor="0.4"))
    edge = 1000 * box.marker_size
    left, bottom = x + (wide - edge) / 2, y + (high - edge) / 2
    picture = cv2.aruco.generateImageMarker(dictionary(), face.marker, MODULES)
    _squares(axes, np.asarray(picture) < 128, left, bottom, edge / MODULES)
    middle = x + wide / 2
    axes.fill([middle - 1.5, middle + 1.5, middle], [y + high + 1, y + high + 1, y + high + 3.5],
              color="0.4", linewidth=0)  # fmt: skip
    names = dict(zip("xyz", range(3), strict=True))
    up = next(
        f"{'+' if face.up[row] > 0 else '-'}{name}" for name, row in names.items() if face.up[row]
    )
    axes.text(middle + 3, y + high + 1, f"{up}", fontsize=7, color="0.3")
    axes.text(x, y - 1, f"face {face.name}, marker {face.marker}", va="top", fontsize=7)


def _squares(axes: Any, black: Any, left: float, bottom: float, edge: float) -> None:
    """Black squares as vectors: a printer must not smooth them. Row 0 is the upper one."""
    rows = len(black)
    for row, line in enumerate(black):
        start = 0
        while start < len(line):
            end = start
            while end < len(line) and line[end]:
                end += 1
            if end > start:  # one rectangle for a run: seams would show
                corner = (left + start * edge, bottom + (rows - 1 - row) * edge)
                axes.add_patch(
                    Rectangle(corner, (end - start) * edge, edge, color="black", linewidth=0)
                )
            start = max(end, start + 1)


def _ruler(axes: Any, x: float, y: float) -> None:
    axes.plot([x, x + _RULER], [y, y], color="black", linewidth=0.5)
    for tick in range(0, int(_RULER) + 1, 5):
        length = 4.0 if tick % 10 == 0 else 2.0
        axes.plot([x + tick] * 2, [y, y - length], color="black", linewidth=0.4)
        if tick % 10 == 0:
            axes.text(x + tick, y - 5, f"{tick}", ha="center", va="top", fontsize=6)
    axes.text(x + _RULER + 3, y, "mm", va="center", fontsize=7)


def _board_page(board: Board, paper: str) -> Figure:
    figure, axes = _page(paper)
    width, height = PAPERS[paper]
    wide, high = (1000 * edge for edge in board.extent)
    if wide > width - _MARGIN or high > height - _TOP - _BELOW:
        raise UsageError(f"a board of {wide:g} x {high:g} mm is too large for {paper} paper")
    left, bottom = (width - wide) / 2, height - _TOP - high
    cells = board.cells()
    _squares(axes, cells < 128, left, bottom, wide / cells.shape[1])
    axes.add_patch(
        Rectangle((left, bottom), wide, high, fill=False, linewidth=0.3, edgecolor="0.6")
    )
    axes.text(
        left,
        bottom - 4,
        f"Board for calibration: {board.columns} x {board.rows} squares of "
        f"{1000 * board.square:g} mm. Glue it on something flat and stiff. Its longer side must "
        f"measure {high:g} mm;\nif it does not, say with --square how long a {board.rows}th of it "
        "is.",
        va="top",
        fontsize=8,
    )
    _ruler(axes, left, bottom - 14)
    return figure
