"""What commands that train are written with: a folder, settings from options, progress."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.commands.errors import INTERRUPTED, print_warning
from codi_core.commands.options import add_fields
from codi_core.commands.output import say
from codi_core.errors import UsageError
from codi_core.files.folders import TRAINING, claimed
from codi_core.files.interrupts import noted
from codi_core.training.settings import TrainingSettings, groups_of

if TYPE_CHECKING:
    from codi_core.training.parts import TrainingParts
    from codi_core.training.session import TrainingSession
    from codi_core.training.trainer import Progress

    Session = TrainingSession[TrainingSettings, Any, Any]
    Build = Callable[[Any], TrainingParts[Any, Any]]

FOLDER_OPTIONS = ("output", "resume", "overwrite")
"""What :func:`add_folder_options` adds."""


def add_folder_options(parser: argparse.ArgumentParser) -> None:
    """Where the training goes, and what becomes of one that is there."""
    parser.add_argument("--output", required=True, metavar="DIR", help="the run folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the run that is in --output"
    )


def add_settings(
    parser: argparse.ArgumentParser,
    settings: type[TrainingSettings],
    leave_out: Collection[str] = (),
) -> None:
    """One option for each field of settings, under the headings that the fields name."""
    fields = attrs.fields(settings)
    for name in groups_of(settings):
        others = {field.name for field in fields if field.metadata.get("group") != name}
        add_fields(parser.add_argument_group(name), settings, leave_out=others.union(leave_out))


def run_training(
    prog: str,
    arguments: Sequence[str],
    given: Mapping[str, Any],
    settings: type[TrainingSettings],
    build: Callable[[], Build],
    check: Callable[[Session], None] = lambda session: None,
) -> int:
    """Train in the folder that was given, anew or going on, and tell what came of it.

    Args:
        prog: the command's name.
        arguments: what was typed after it.
        given: the options that were given, those of :func:`add_folder_options` among them.
        settings: the class of the settings that the other ones belong to.
        build: imports and returns what makes the model, the loss and the batches.
        check: looks at a training that has come to its end, in its folder.

    Returns:
        The exit code: 0, or that of an interruption.

    Raises:
        UsageError: options that exclude one another or that the settings refuse, or a folder that
            can't be used.
    """
    values = {name: value for name, value in given.items() if name not in FOLDER_OPTIONS[1:]}
    folder, resume, overwrite = Path(given["output"]), given["resume"], given["overwrite"]
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude one another")
    with claimed(folder, TRAINING, resume=resume, overwrite=overwrite):
        if resume:
            session = _resumed(folder, values, settings, build)
        else:
            session = _fresh(values, settings, build, [prog, *arguments])
        finished = _train(session)
        if finished:
            check(session)
    return _tell(prog, session, finished)


def _fresh(
    values: dict[str, Any],
    settings: type[TrainingSettings],
    build: Callable[[], Build],
    command: Sequence[str],
) -> Session:
    from codi_core.training.folder import clear

    session = _session(values, settings, build)
    clear(session.folder)
    session.start(command)
    return session


def _resumed(
    folder: Path,
    values: dict[str, Any],
    settings: type[TrainingSettings],
    build: Callable[[], Build],
) -> Session:
    from codi_core.training.folder import resumed

    session = _session(resumed(folder, values, attrs.fields_dict(settings)), settings, build)
    session.resume()
    return session


def _session(
    values: dict[str, Any], settings: type[TrainingSettings], build: Callable[[], Build]
) -> Session:
    from codi_core.training.session import TrainingSession

    try:
        made = settings(**values)
    except TypeError as error:
        raise UsageError(f"the settings of the training are damaged: {error}") from error
    return TrainingSession(made, build(), print_warning)


def _train(session: Session) -> bool:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("step {task.completed:>6.0f} of {task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.fields[values]}"),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # The state is saved before a signal ends the training.
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar, noted() as stop:
        task = bar.add_task(
            "", total=session.settings.steps, values="", completed=session.trainer.step
        )

        def report(progress: Progress) -> None:
            bar.update(task, completed=progress.step, values=_values(progress))
            if progress.logged and not console.is_terminal:
                say(f"step {progress.step}/{progress.steps}: {_values(progress)}")

        return session.run(report, lambda: bool(stop))


def _values(progress: Progress) -> str:
    parts = [f"loss {progress.loss:.4f}"]
    if progress.held_out_loss:
        parts.append(f"held out {progress.held_out_loss:.4f}")
    parts += [f"{name} {value:.6g}" for name, value in progress.measured.items()]
    return ", ".join(parts)


def _tell(prog: str, session: Session, finished: bool) -> int:
    say(f"checkpoint: {session.checkpoint}")
    if finished:
        return 0
    again = shlex.join([prog, "--resume", "--output", str(session.folder)])
    say(
        f"stopped after {session.trainer.step} of {session.settings.steps} steps, and saved. "
        f"Go on with:\n  {again}"
    )
    return INTERRUPTED
