"""``codi-train``: train a base policy from demonstrations."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codi_core.commands.errors import INTERRUPTED, guarded
from codi_core.commands.options import Parser
from codi_core.errors import UsageError
from codi_core.files.folders import exclusive
from codi_core.host.quantities import not_negative, positive, whole

if TYPE_CHECKING:
    from codi_core.training.session import TrainingSession
    from codi_core.training.trainer import Progress

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

_CHOSEN_AGAIN = {"threads", "device", "output", "dataset"}
"""Settings that may differ when a run is resumed."""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Train a base policy; see ``codi-train --help``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    folder = Path(options.output)
    given = {name: value for name, value in vars(options).items() if value is not None}
    resume, overwrite = given.pop("resume"), given.pop("overwrite")
    _check_folder(folder, resume, overwrite)
    session = _resumed(given, folder) if resume else _fresh(given)
    with exclusive(folder):
        if not resume:
            _clear(folder)
            session.start(["codi-train", *arguments])
        finished = _train(session)
    return _tell(session, finished)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="codi-train",
        description="Train a diffusion policy from demonstrations in the LeRobotDataset v3.0 "
        "layout.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", nargs="?", metavar="DATASET", help="the dataset's folder")
    parser.add_argument("--output", required=True, metavar="DIR", help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that is in --output"
    )
    _add_data(parser)
    _add_network(parser)
    _add_optimisation(parser)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    add = group.add_argument
    add(
        "--observations",
        nargs="+",
        metavar="NAME",
        help="features that the policy observes (default: all called observation…)",
    )
    add("--action", metavar="NAME", help="the feature that it predicts (default: action)")
    add("--horizon", type=whole(1), metavar="K", help="actions in a chunk (default: 16)")
    add("--history", type=whole(1), metavar="H", help="observations it reads (default: 1)")
    add(
        "--offset",
        type=int,
        metavar="N",
        help="control step of a chunk's first action; 0 is the present one (default: 0)",
    )
    add(
        "--held-out",
        type=not_negative,
        metavar="SHARE",
        help="share of the episodes that is held out to measure the loss (default: 0.02)",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    add = group.add_argument
    add("--network", choices=("unet", "mlp"), help="the network (default: unet)")
    add(
        "--widths",
        type=whole(8),
        nargs="+",
        metavar="N",
        help="channels of the unet at each resolution (default: 64 128)",
    )
    add(
        "--blocks",
        type=whole(1),
        metavar="N",
        help="residual blocks of the unet at each resolution (default: 1)",
    )
    add("--width", type=whole(8), metavar="N", help="width of the mlp (default: 256)")
    add("--depth", type=whole(1), metavar="N", help="residual layers of the mlp (default: 4)")
    add(
        "--sigma-data",
        type=positive,
        metavar="X",
        help="standard deviation of the normalised actions (default: 1)",
    )
    add(
        "--noise-mean", type=float, metavar="X", help="mean of ln sigma in training (default: -0.8)"
    )
    add(
        "--noise-std",
        type=positive,
        metavar="X",
        help="standard deviation of ln sigma in training (default: 1.2)",
    )


def _add_optimisation(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optimisation")
    add = group.add_argument
    add("--steps", type=whole(1), metavar="N", help="optimisation steps (default: 18000)")
    add("--batch-size", type=whole(1), metavar="N", help="windows a step (default: 256)")
    add(
        "--learning-rate",
        type=positive,
        metavar="X",
        help="highest learning rate; warm-up, then a cosine to zero (default: 0.001)",
    )
    add("--warm-up", type=whole(1), metavar="N", help="steps of warm-up (default: 500)")
    add("--weight-decay", type=not_negative, metavar="X", help="of AdamW (default: 1e-6)")
    add(
        "--ema-power",
        type=positive,
        metavar="X",
        help="exponent of the warm-up of the averaged weights (default: 0.75)",
    )
    add(
        "--ema-maximum",
        type=positive,
        metavar="X",
        help="highest decay of the averaged weights (default: 0.9999)",
    )
    add("--seed", type=whole(0), metavar="N", help="of everything random (default: 0)")
    group = parser.add_argument_group("machine")
    add = group.add_argument
    add(
        "--threads",
        type=whole(1),
        metavar="N",
        help="torch threads (default: 1; more than there are free cores is far slower)",
    )
    add("--device", metavar="NAME", help="cpu, cuda:0, … (default: cpu)")
    add(
        "--precision",
        choices=("float32", "bfloat16"),
        help="of products and convolutions in training (default: float32)",
    )


def _check_folder(folder: Path, resume: bool, overwrite: bool) -> None:
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude one another")
    occupied = folder.is_dir() and any(folder.iterdir())
    if occupied and not resume and not overwrite:
        raise UsageError(
            f"{folder} is not empty: --resume goes on with the run in it, --overwrite replaces it"
        )
    if occupied and overwrite and not (folder / "config.json").is_file():
        raise UsageError(f"{folder} holds no training run, so it is not overwritten")


def _fresh(given: dict[str, Any]) -> TrainingSession:
    from codi_core.training.session import TrainingSession
    from codi_core.training.settings import RunSettings

    if "dataset" not in given:
        raise UsageError("give the folder of the demonstrations: codi-train DATASET --output DIR")
    return TrainingSession(RunSettings(**given))


def _resumed(given: dict[str, Any], folder: Path) -> TrainingSession:
    from codi_core.training.session import TrainingSession, read_document
    from codi_core.training.settings import RunSettings

    saved = read_document(folder)["configuration"]
    for name in sorted(set(given) - _CHOSEN_AGAIN):
        if given[name] != saved[name]:
            raise UsageError(
                f"--{name.replace('_', '-')} was {saved[name]} in {folder}: leave it out to go on, "
                "or start a new run in another folder"
            )
    session = TrainingSession(RunSettings(**{**saved, **given}))
    session.resume()
    return session


def _clear(folder: Path) -> None:
    for name in ("checkpoint.safetensors", "curve.csv", "curve.png", "training-state.pt"):
        (folder / name).unlink(missing_ok=True)


def _train(session: TrainingSession) -> bool:
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
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar, _signals() as stop:
        task = bar.add_task(
            "", total=session.settings.steps, losses="", completed=session.trainer.step
        )

        def report(progress: Progress) -> None:
            bar.update(task, completed=progress.step, losses=_losses(progress))
            if progress.logged and not console.is_terminal:
                print(f"step {progress.step}/{progress.steps}: {_losses(progress)}", flush=True)

        return session.run(report, lambda: bool(stop))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying from them: the state is saved first."""
    received: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda number, _: received.append(number)) for kind in kinds]
    try:
        yield received
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _losses(progress: Progress) -> str:
    held_out = progress.held_out_loss
    return f"loss {progress.loss:.4f}" + (f", held out {held_out:.4f}" if held_out else "")


def _tell(session: TrainingSession, finished: bool) -> int:
    print(f"checkpoint: {session.checkpoint}")
    if finished:
        return 0
    again = shlex.join(["codi-train", "--resume", "--output", str(session.folder)])
    print(
        f"stopped after {session.trainer.step} of {session.settings.steps} steps, and saved. "
        f"Go on with:\n  {again}"
    )
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
