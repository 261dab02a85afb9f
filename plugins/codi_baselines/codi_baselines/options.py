"""Options that jobs of ``codi-bench`` share."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from codi_core.quantities import whole


def add_output_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, job: str) -> None:
    """Where the results go, and what becomes of those that are there.

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
    parser.add_argument("--resume", action="store_true", help="go on with what is in --output")
    parser.add_argument("--overwrite", action="store_true", help="remove what is in --output first")


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """With how many threads."""
    parser.add_argument(
        "--threads", type=whole(1), default=1, metavar="N", help="threads for tensors (default: 1)"
    )


def default_output(job: str) -> Path:
    """The folder ``runs/bench-JOB-TIME``."""
    return Path("runs") / time.strftime(f"bench-{job}-%Y%m%d-%H%M%S")
