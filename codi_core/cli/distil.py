"""``codi-distil``: make a student of a base policy, which draws samples in one call or two."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser, add_version
from codi_core.commands.output import say, show
from codi_core.commands.training import add_folder_options, add_settings, run_training
from codi_core.errors import UsageError
from codi_core.training.distillation_settings import DistillationSettings

if TYPE_CHECKING:
    from codi_core.training.parts import TrainingParts
    from codi_core.training.session import TrainingSession

PROG = "codi-distil"

CHECK = "check.json"
"""What is found out about the student, in its run folder."""

_EXAMPLES = """\
examples:
  codi-distil runs/policy/checkpoint.safetensors demonstrations --output runs/student
  codi-distil policy.safetensors demonstrations --output runs/one --calls 1
  codi-distil policy.safetensors demonstrations --output runs/fast --network mlp --depth 3 \\
              --stand-in runs/student/checkpoint.safetensors --reuse 4
  codi-distil --resume --output runs/student       (after Ctrl-C or a kill)

The run folder gets config.json, curve.csv, curve.png, checkpoint.safetensors, check.json and
training-state.pt, from which --resume goes on to the bit. check.json has how alike the samples of
student and teacher are; --resume makes it anew for a student that is finished.
codi-run --method search:student=runs/student draws its candidates with the student.
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Distil a base policy; see ``codi-distil --help``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = vars(_parser().parse_args(arguments))
    if not given["resume"]:
        if "teacher" not in given or "dataset" not in given:
            raise UsageError(
                "give the checkpoint of the policy, and the folder of demonstrations with the "
                f"states to imitate it in: {PROG} CHECKPOINT DATASET --output DIR"
            )
        given["teacher_digest"] = _digest(given["teacher"])
        if "stand_in" in given:
            given["stand_in_digest"] = _digest(given["stand_in"])
    return run_training(PROG, arguments, given, DistillationSettings, _distillation, _check)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=PROG,
        description="Distil a diffusion policy: train a student that maps noise to action chunks "
        "in one call or two of a network, where the policy takes many.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, metavar, what in (
        ("teacher", "CHECKPOINT", "the policy's checkpoint"),
        ("dataset", "DATASET", "the folder of demonstrations in whose states it is imitated"),
    ):
        parser.add_argument(name, nargs="?", default=argparse.SUPPRESS, metavar=metavar, help=what)
    add_version(parser)
    add_folder_options(parser)
    add_settings(parser, DistillationSettings)
    return parser


def _digest(path: str) -> str:
    from codi_core.training.checkpoint import checkpoint_digest, read_metadata

    read_metadata(path)  # it must be a checkpoint at all
    return checkpoint_digest(path)


def _distillation() -> Callable[[Any], TrainingParts[Any, Any]]:
    from codi_core.training.distillation import distillation_parts

    return distillation_parts


def _check(session: TrainingSession[Any, Any, Any]) -> None:
    """Compare the student's samples with its teacher's, and keep and show what is found."""
    from codi_core.files.durable import to_json, write_durably
    from codi_core.training.distillation import check_student
    from codi_core.training.students import load_student

    student = load_student(session.checkpoint).to(session.settings.device)
    found = check_student(session.settings, student)
    write_durably(session.folder / CHECK, to_json(found))
    _show(found)


def _show(found: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table()
    for title in ("samples of", "calls", "energy distance", "modes differ", "found", "variance"):
        table.add_column(title, justify="left" if title == "samples of" else "right")
    for row in found["rows"]:
        ratios = row["variance"].values()
        table.add_row(
            row["samples_of"],
            str(row["calls"]),
            f"{row['energy_distance']:.4f}",
            f"{row['mode_difference']:.1%}",
            f"{row['modes_found']:.1%}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
        )
    show(table)
    say(f"in {found['states']} states, with {found['samples']} samples in each: {CHECK}")


if __name__ == "__main__":
    sys.exit(main())
