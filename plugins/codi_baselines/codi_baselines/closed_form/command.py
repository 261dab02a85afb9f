"""``codi-bench estimators``: estimators of the guidance score against exact solutions."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codi_baselines.options import add_output_options, add_threads_option, default_output
from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.options import Parser
from codi_core.quantities import whole

if TYPE_CHECKING:
    from codi_baselines.closed_form.session import Benchmark
    from codi_baselines.folder import BenchmarkFolder
    from codi_core.host.plugins import Host

PROG = "codi-bench estimators"
QUICK_BUDGET, QUICK_LEAST = 1_000_000, 2
"""Sampled values and the least plans a cell of a quick benchmark."""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = _parser().parse_args(arguments)
    import torch

    from codi_baselines.closed_form.session import RESULTS
    from codi_baselines.folder import BenchmarkFolder, document_of
    from codi_core.host.plugins import load_plugins

    torch.set_num_threads(given.threads)
    host = load_plugins(strict=given.strict_plugins, warn=print_warning)
    benchmark = _benchmark(given, host)
    folder = BenchmarkFolder(given.output or default_output("estimators"), RESULTS)
    command = ["codi-bench", "estimators", *arguments]
    document = document_of(benchmark.configuration(), host, command)
    with folder.claimed(document, given.resume, given.overwrite):
        return _run(benchmark, folder, document, given.workers)


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Measure how well each estimator of the guidance score does for its "
        "evaluations of the cost, on problems whose solution is known in closed form.",
    )
    add_output_options(parser, "estimators")
    add_threads_option(parser)
    parser.add_argument(
        "--seeds",
        type=whole(1),
        default=5,
        metavar="N",
        help="how many problems of each dimension (default: 5)",
    )
    parser.add_argument(
        "--estimators",
        nargs="+",
        metavar="NAME",
        help="only these, by their names in the table (default: all)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the smallest dimension, few plans and at most 256 samples a step: a minute",
    )
    parser.add_argument(
        "--workers",
        type=whole(1),
        default=min(2, os.cpu_count() or 1),
        metavar="N",
        help="processes that measure (default: 2 where there are as many cores); the results don't "
        "depend on it, but the seconds do",
    )
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    return parser


def _benchmark(given: argparse.Namespace, host: Host) -> Benchmark:
    from codi_baselines.closed_form.cells import Effort
    from codi_baselines.closed_form.estimators import chosen, quicker
    from codi_baselines.closed_form.problems import SHAPES
    from codi_baselines.closed_form.session import Benchmark

    wanted = chosen(host, given.estimators)
    if not given.quick:
        return Benchmark(host, tuple(SHAPES), given.seeds, wanted, Effort())
    return Benchmark(
        host, (min(SHAPES),), given.seeds, quicker(wanted), Effort(QUICK_BUDGET, QUICK_LEAST)
    )


def _run(
    benchmark: Benchmark, folder: BenchmarkFolder, document: dict[str, Any], workers: int
) -> int:
    from rich.console import Console

    from codi_baselines.closed_form.printing import print_results
    from codi_baselines.closed_form.session import draw_results, write_results
    from codi_baselines.progress import make_cell_progress
    from codi_baselines.results import conclude, draw, name_files

    finished = benchmark.run(folder, make_cell_progress(Console(stderr=True)), workers)
    results = benchmark.results(folder)
    for failure in results.failures:
        print_warning(failure)
    written = write_results(folder, results, document)
    written += draw(lambda: draw_results(folder, results))
    print_results(results)
    name_files(written)
    return conclude(finished, f"{len(folder.cells())} cells", folder.path, PROG)


if __name__ == "__main__":
    sys.exit(main())
