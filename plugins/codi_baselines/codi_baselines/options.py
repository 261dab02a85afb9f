"""Options that all jobs of ``codi-bench`` in closed form share."""

from __future__ import annotations

from pathlib import Path

from codi_core.commands.options import Parser
from codi_core.host.quantities import whole


def add_shared_options(parser: Parser, job: str) -> None:
    """Where the results go, and with how many threads.

    Args:
        parser: the job's.
        job: its name.
    """
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"the folder of the results (default: runs/bench-{job}-TIME)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the benchmark in --output"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remove the benchmark in --output first"
    )
    parser.add_argument(
        "--threads", type=whole(1), default=1, metavar="N", help="threads for tensors (default: 1)"
    )
