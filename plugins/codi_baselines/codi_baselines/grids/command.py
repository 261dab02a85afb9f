"""``codi-bench grid FILE``: run rows of options, and write one table."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from codi_baselines.options import add_output_options, default_output
from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.options import Parser
from codi_core.quantities import whole

PROG = "codi-bench grid"

EXAMPLE = """a file of rows:

  task = "franka-handoff"

  [shared]                      # options of codi-run, for all rows
  episodes = 200
  seed = 1

  [rows.printed]                # each row is a run; its label names its folder

  [rows.matched]
  posterior = "matched"

  [rows.elsewhere]
  task_options = { goal = [0.5, 0.1] }

codi-run --task NAME --help shows the options: --max-seconds is max_seconds here.
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = _parser().parse_args(arguments)
    from codi_baselines.grids.file import read_grid_file
    from codi_baselines.grids.running import run_grid
    from codi_core.experiments import Grid, worker_pool
    from codi_core.host.plugins import load_plugins

    load_plugins(strict=given.strict_plugins, warn=print_warning)
    file = read_grid_file(given.file)
    # Several workers share the cores.
    cores = max(1, (os.cpu_count() or 1) // given.workers)
    grid = Grid(
        file.task,
        file.rows,
        shared={"physics_threads": cores, **file.shared},
        output=given.output or default_output("grid"),
        command=["codi-bench", "grid", *arguments],
    )
    command = f"{PROG} {shlex.quote(str(given.file))}"
    with nullcontext() if given.workers == 1 else worker_pool(given.workers) as pool:
        return run_grid(grid, f"{file.task}, {given.file.stem}", given, command, given.rows, pool)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description=textwrap.fill(
            "Run rows of options of codi-run, and write one table of what came of them. Several "
            "processes may run the same file with --resume and the same --output: each wave of "
            "episodes is run by one of them.",
            width=80,
        ),
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the rows, as TOML or JSON")
    add_output_options(parser, "grid")
    parser.add_argument("--rows", nargs="+", metavar="LABEL", help="run only these (default: all)")
    parser.add_argument(
        "--workers",
        type=whole(1),
        default=1,
        metavar="N",
        help="processes that run episodes (default: 1); they share the cores",
    )
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
