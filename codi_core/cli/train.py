"""``codi-train``: train a base policy from demonstrations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser, add_version
from codi_core.commands.training import add_folder_options, add_settings, run_training
from codi_core.errors import UsageError
from codi_core.training.settings import RunSettings

if TYPE_CHECKING:
    from codi_core.training.parts import TrainingParts

PROG = "codi-train"

_EXAMPLES = """\
examples:
  codi-train demonstrations --output runs/policy
  codi-train demonstrations --output runs/policy --network mlp --steps 50000
  codi-train their-dataset --output runs/theirs --observations observation.state \\
             --horizon 8 --history 2
  codi-train --resume --output runs/policy       (after Ctrl-C or a kill)

The run folder gets config.json, curve.csv, curve.png, checkpoint.safetensors and
training-state.pt, from which --resume goes on to the bit.
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Train a base policy; see ``codi-train --help``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = vars(_parser().parse_args(arguments))
    if "dataset" not in given and not given["resume"]:
        raise UsageError(f"give the folder of the demonstrations: {PROG} DATASET --output DIR")
    return run_training(PROG, arguments, given, RunSettings, _imitation)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROG,
        description="Train a diffusion policy from demonstrations in the LeRobotDataset v3.0 "
        "layout.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "dataset",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="DATASET",
        help="the dataset's folder",
    )
    add_version(parser)
    add_folder_options(parser)
    add_settings(parser, RunSettings)
    return parser


def _imitation() -> Callable[[Any], TrainingParts[Any, Any]]:
    from codi_core.training.imitation import imitation_parts

    return imitation_parts


if __name__ == "__main__":
    sys.exit(main())
