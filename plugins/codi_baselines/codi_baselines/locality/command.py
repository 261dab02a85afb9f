"""``codi-bench locality``: bias and variance of factored guidance on chains and grids of agents."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codi_baselines.options import add_output_options, add_threads_option, default_output
from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.options import Parser
from codi_core.quantities import whole

if TYPE_CHECKING:
    from codi_baselines.folder import BenchmarkFolder
    from codi_baselines.locality.session import Record, Study

PROG = "codi-bench locality"
QUICK_REPEATS = 40


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = _parser().parse_args(arguments)
    import torch

    from codi_baselines.folder import BenchmarkFolder, document_of
    from codi_baselines.locality.session import RESULTS
    from codi_core.host.plugins import load_plugins

    torch.set_num_threads(given.threads)
    study = _study(given)
    command = ["codi-bench", "locality", *arguments]
    document = document_of(study.configuration(), load_plugins(warn=print_warning), command)
    folder = BenchmarkFolder(given.output or default_output("locality"), RESULTS)
    with folder.claimed(document, given.resume, given.overwrite):
        return _run(study, folder, document)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Measure the bias and the variance of the guidance term against hops, "
        "coupling, samples and agents, on Gaussian chains and grids whose solution is known.",
    )
    add_output_options(parser, "locality")
    add_threads_option(parser)
    parser.add_argument(
        "--repeats",
        type=whole(2),
        default=400,
        metavar="N",
        help="how often each estimate is drawn anew (default: 400)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"at most {QUICK_REPEATS} repeats, 16 agents and 256 samples: a few seconds",
    )
    return parser


def _study(given: argparse.Namespace) -> Study:
    from codi_baselines.locality.cells import Sweeps
    from codi_baselines.locality.session import Study

    if not given.quick:
        return Study(Sweeps(repeats=given.repeats))
    return Study(
        Sweeps(
            agents={"chain": (2, 4, 16), "grid": (4, 16)},
            stiffnesses=(0.05, 0.5, 2.0),
            samples=(16, 64, 256),
            repeats=min(given.repeats, QUICK_REPEATS),
        )
    )


def _run(study: Study, folder: BenchmarkFolder, document: dict[str, Any]) -> int:
    from rich.console import Console

    from codi_baselines.locality.picture import write_picture
    from codi_baselines.locality.session import PICTURE, write_results
    from codi_baselines.progress import make_cell_progress
    from codi_baselines.results import conclude, draw, name_files

    finished = study.run(folder, make_cell_progress(Console(stderr=True)))
    records = study.records(folder)
    written = write_results(folder, records, document)
    written += draw(lambda: write_picture(folder.file(PICTURE), records))
    _print_tables(records)
    name_files(written)
    return conclude(finished, f"{len(folder.cells())} cells", folder.path, PROG)


def _print_tables(records: Sequence[Record]) -> None:
    """One table a graph: a row for each N, k and M, a column for each h."""
    from rich.console import Console
    from rich.table import Table

    # Tables are wider than a log's 80 columns.
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    hops = list(dict.fromkeys(record["hops"] for record in records))
    for graph in dict.fromkeys(record["graph"] for record in records):
        here = [record for record in records if record["graph"] == graph]
        table = Table(title=f"{graph}: bias / deviation of the guidance term, relative to it")
        for heading in ("N", "k", "M"):
            table.add_column(heading, justify="right")
        for value in hops:
            table.add_column("monte-carlo" if value is None else f"h = {value}", justify="right")
        for setting in dict.fromkeys((r["agents"], r["stiffness"], r["samples"]) for r in here):
            found = {
                r["hops"]: f"{r['bias']:.3f} / {r['deviation']:.3f}"
                for r in here
                if (r["agents"], r["stiffness"], r["samples"]) == setting
            }
            numbers = (f"{number:g}" for number in setting)
            table.add_row(*numbers, *(found.get(value, "") for value in hops))
        console.print(table)


if __name__ == "__main__":
    sys.exit(main())
