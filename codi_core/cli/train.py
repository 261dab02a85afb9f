"""``codi-train``: train a base policy from demonstrations."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.commands.errors import INTERRUPTED, guarded, print_warning
from codi_core.commands.options import Parser, add_fields
from codi_core.commands.output import say
from codi_core.errors import UsageError
from codi_core.files.folders import TRAINING, claimed
from codi_core.files.interrupts import noted
from codi_core.training.settings import GROUPS, RunSettings

if TYPE_CHECKING:
    from codi_core.policies import Batch, DiffusionPolicy
    from codi_core.training.session import TrainingSession
    from codi_core.training.trainer import Progress

    Session = TrainingSession[RunSettings, DiffusionPolicy, Batch]

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
    folder = Path(given["output"])
    resume, overwrite = given.pop("resume"), given.pop("overwrite")
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude one another")
    with claimed(folder, TRAINING, resume=resume, overwrite=overwrite):
        session = _resumed(given, folder) if resume else _fresh(given, [PROG, *arguments])
        finished = _train(session)
    return _tell(session, finished)


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
    parser.add_argument("--output", required=True, metavar="DIR", help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that is in --output"
    )
    fields = attrs.fields(RunSettings)
    for name in GROUPS:
        others = {field.name for field in fields if field.metadata.get("group") != name}
        add_fields(parser.add_argument_group(name), RunSettings, leave_out=others)
    return parser


def _fresh(given: dict[str, Any], command: Sequence[str]) -> Session:
    from codi_core.training.folder import clear

    if "dataset" not in given:
        raise UsageError(f"give the folder of the demonstrations: {PROG} DATASET --output DIR")
    session = _session(given)
    clear(session.folder)
    session.start(command)
    return session


def _resumed(given: dict[str, Any], folder: Path) -> Session:
    from codi_core.training.folder import resumed

    session = _session(resumed(folder, given, attrs.fields_dict(RunSettings)))
    session.resume()
    return session


def _session(values: dict[str, Any]) -> Session:
    from codi_core.training.imitation import imitation_parts
    from codi_core.training.session import TrainingSession

    try:
        settings = RunSettings(**values)
    except TypeError as error:
        raise UsageError(f"the settings of the training are damaged: {error}") from error
    return TrainingSession(settings, imitation_parts, print_warning)


def _train(session: Session) -> bool:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("step {task.completed:>6.0f} of {task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # The state is saved before a signal ends the training.
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar, noted() as stop:
        task = bar.add_task(
            "", total=session.settings.steps, losses="", completed=session.trainer.step
        )

        def report(progress: Progress) -> None:
            bar.update(task, completed=progress.step, losses=_losses(progress))
            if progress.logged and not console.is_terminal:
                say(f"step {progress.step}/{progress.steps}: {_losses(progress)}")

        return session.run(report, lambda: bool(stop))


def _losses(progress: Progress) -> str:
    held_out = progress.held_out_loss
    return f"loss {progress.loss:.4f}" + (f", held out {held_out:.4f}" if held_out else "")


def _tell(session: Session, finished: bool) -> int:
    say(f"checkpoint: {session.checkpoint}")
    if finished:
        return 0
    again = shlex.join([PROG, "--resume", "--output", str(session.folder)])
    say(
        f"stopped after {session.trainer.step} of {session.settings.steps} steps, and saved. "
        f"Go on with:\n  {again}"
    )
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
