"""``codi franka-markers``: the sheet of markers and the calibration board, to print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser
from codi_core.commands.output import say
from codi_core.errors import UsageError
from codi_core.files.durable import writing
from codi_core.quantities import positive
from codi_franka.vision.board import Board
from codi_franka.vision.markers import MarkedBox
from codi_franka.vision.sheet import PAPERS, write_sheet

PROG = "codi franka-markers"


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog=PROG,
        description="Write a PDF to scale: six markers with cutting lines for the faces of a box, "
        "a ruler that shows whether the printer kept the scale, and a board for calibration.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("franka-markers.pdf"),
        metavar="FILE",
        help="the PDF (default: %(default)s)",
    )
    parser.add_argument(
        "--box",
        type=positive,
        nargs=3,
        default=(50.0, 50.0, 50.0),
        metavar="MM",
        help="the box's edges along x, y and z (default: 50 50 50)",
    )
    parser.add_argument(
        "--marker",
        type=positive,
        default=40.0,
        metavar="MM",
        help="the markers' edge (default: %(default)s)",
    )
    parser.add_argument("--paper", choices=tuple(PAPERS), default="a4", help="(default: a4)")
    given = parser.parse_args(argv)
    try:
        x, y, z = (edge / 1000 for edge in given.box)
        box = MarkedBox((x, y, z), given.marker / 1000)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with writing(given.output.resolve().parent):
        write_sheet(given.output, box, Board(), given.paper)
    say(f"wrote {given.output}: print it at 100 %, and check the ruler")
    return 0
