"""``codi-run``: run a task in closed loop, measure it, and write a run folder."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.cli.pictures import attempt
from codi_core.cli.replay import add_option, check_only, replay
from codi_core.cli.written import Written
from codi_core.commands.errors import INTERRUPTED, guarded, print_error, print_warning
from codi_core.commands.options import Parser, add_fields, add_version
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    with_examples,
)
from codi_core.errors import CodiError, UsageError
from codi_core.experiments.configuration import (
    FIELDS,
    RunConfig,
    method_defaults,
    repeats,
    resolve,
)
from codi_core.experiments.opening import find_task

if TYPE_CHECKING:
    from codi_core.experiments.experiment import Experiment
    from codi_core.experiments.opening import InstalledTask
    from codi_core.experiments.running import Run

PROG = "codi-run"
_EXAMPLES = """\
codi-run --task {name} --episodes 8 --seed 1
codi-run --task {name} --episodes 8 --seed 1 --method base --output runs/unguided
codi-run --task {name} --samples 128 --max-seconds 20
codi-run --from runs/unguided --method codi --output runs/guided
codi-run --resume --output runs/guided       (after Ctrl-C or a kill)
codi-run --output runs/guided --only 5       (episode 5 again as it was, filmed)
"""

TOLD_ERRORS = 3
"""So many episodes that broke are told of with their reasons."""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    first, _ = _first_parser().parse_known_args(arguments)
    stored = _stored(first)
    name = first.task or stored.get("task")
    if first.help and name is None:
        # Without a task nothing but metadata is read: plugins can't make this help slow.
        _full_parser(None, None).print_help()
        return 0
    found = find_task(name, first.strict_plugins, print_warning)
    parser = _full_parser(found.name, found)
    if first.help:
        parser.print_help()
        return 0
    given = parser.parse_args(arguments)
    experiment = _prepared(found, given, stored)
    return _run(experiment, given, arguments) if given.only is None else _again(experiment, given)


def _first_parser() -> Parser:
    """Reads only what decides which options there are."""
    parser = Parser(prog=PROG, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--task")
    parser.add_argument("--strict-plugins", action="store_true")
    add_version(parser)
    _add_folder_options(parser)
    return parser


def _add_folder_options(group: Any) -> None:
    group.add_argument(
        "--output", type=Path, metavar="DIR", help="the run folder (default: runs/TASK-METHOD-TIME)"
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --output; it brings its own options",
    )
    add_option(group)
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="remove the run in --output and the recording in --record first",
    )
    group.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="RUN_DIR",
        help="run again what another run folder's config.json says; options given "
        "beside it prevail",
    )


def _full_parser(name: str | None, found: InstalledTask | None) -> Parser:
    parser = Parser(
        prog=PROG,
        add_help=False,
        description="Run a task in closed loop and measure it.",
        **with_examples(
            _EXAMPLES.format(name=name or "NAME"),
            installed_epilog(PROG)
            if found is None
            else f"codi-plugins says what each of these names stands for, also for {name}.",
        ),
    )
    parser.add_argument(
        "-h",
        "--help",
        action="store_true",
        help="show this help; with --task also the task's own options",
    )
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    add_version(parser)
    defaults, names = _shown(found)
    add_fields(parser.add_argument_group("what is run"), RunConfig, defaults, names=names)
    output = parser.add_argument_group("what is written")
    _add_folder_options(output)
    Written.add_options(output)
    if found is not None:
        group = parser.add_argument_group(f"options of {name}")
        add_fields(group, found.task.Options, prefix=TASK_PREFIX)
    return parser


def _shown(
    found: InstalledTask | None,
) -> tuple[dict[str, Any], Mapping[str, Sequence[str]]]:
    """The defaults and the names that the help shows for a task."""
    if found is None:
        return {}, {}
    from codi_core.host.assembly import available

    try:
        opened = attrs.evolve(found, warn=lambda message: None).open()
        return method_defaults(opened), available(opened)
    except (CodiError, TypeError, ValueError):
        # A task with required options has no parts yet.
        return {}, {}


def _stored(first: argparse.Namespace) -> Mapping[str, Any]:
    """The configuration that this run starts from: of --from, or of the run to resume."""
    if first.resume and first.output is None:
        raise UsageError("--resume needs --output DIR: the folder of the run to go on with")
    if first.resume and (first.source is not None or first.overwrite):
        raise UsageError("--resume goes on with a run; it excludes --from and --overwrite")
    check_only(first)
    path = first.output if first.resume or first.only else first.source
    if path is None:
        return {}
    if first.resume and not first.only and not (path / "config.json").exists():
        if first.task is None:
            raise UsageError(
                f"there is no run to resume in '{path}': leave --resume out and give --task NAME "
                "to start one"
            )
        return {}
    from codi_core.evaluation.run_folder import RunFolder

    stored = dict(RunFolder(path).config()["configuration"])
    if first.source is None and first.task not in (None, stored["task"]):
        raise UsageError(
            f"'{path}' holds a run of the task '{stored['task']}': leave --task {first.task} out, "
            "or choose another folder with --output"
        )
    return stored


def _prepared(
    found: InstalledTask, given: argparse.Namespace, stored: Mapping[str, Any]
) -> Experiment:
    """The experiment of what was given, over what was stored."""
    from codi_core.experiments.experiment import Experiment

    values = vars(given)
    options = {name: values[name] for name in FIELDS if name in values}
    # Stored options of another task mean nothing to this one.
    same = stored.get("task") in (None, found.name)
    task_options = dict(stored.get("task_options", {})) if same else {}
    opened = found.open({**task_options, **given_task_options(values)})
    return Experiment(opened, resolve(options, opened, stored))


def _run(experiment: Experiment, given: argparse.Namespace, arguments: Sequence[str]) -> int:
    from codi_core.cli.summary import print_summary
    from codi_core.evaluation.run_folder import RunFolder
    from codi_core.experiments.running import (
        default_output,
        run_experiment,
        standard_progress,
    )

    folder = RunFolder(given.output or default_output(experiment))
    written = Written.chosen(given, folder if given.resume else None, experiment.config.episodes)
    filmed = written.video and experiment.opened.parts.renderer is not None
    pictures: list[Path] = []

    def draw(run: Run) -> None:
        if run.finished and written.report:
            pictures.extend(attempt("report.png", run.write_report))
        if run.finished and filmed:
            video = partial(run.write_video, written.video_episodes)
            pictures.extend(attempt("video.mp4", video))

    run = run_experiment(
        experiment,
        folder,
        {**experiment.document([PROG, *arguments]), "written": attrs.asdict(written)},
        standard_progress(),
        given.resume,
        given.overwrite,
        frozenset(written.video_episodes),
        draw,
        _delays(experiment, given),
        written.recording,
    )
    _warn_of_errors(run)
    if not run.finished:
        return _interrupted(run)
    files = [run.folder.file("metrics.json"), run.folder.file("episodes.jsonl"), *pictures]
    files += _recorded(written.recording)
    print_summary(run.metrics, files)
    return 0


def _again(experiment: Experiment, given: argparse.Namespace) -> int:
    from codi_core.evaluation.run_folder import RunFolder
    from codi_core.experiments.running import Run

    return replay(Run(experiment, RunFolder(given.output)), given)


def _delays(experiment: Experiment, given: argparse.Namespace) -> Mapping[int, Sequence[float]]:
    """The measured delays of the run that is run again as it was."""
    from codi_core.experiments.running import read_run

    if given.source is None or experiment.config.latency != "measured":
        return {}
    earlier = read_run(given.source)
    if not repeats(experiment.config, earlier.experiment.config):
        return {}
    shortened = earlier.metrics["warnings"]["shortened_plans"]
    if shortened:
        print_warning(
            f"{shortened} plans of '{given.source}' were cut short by their deadlines; only their "
            "delays are repeated, so that episodes may differ"
        )
    return earlier.folder.delays()


def _warn_of_errors(run: Run) -> None:
    """Name the episodes that broke, the first ones with their reasons."""
    broken = [record for record in run.episodes if "error" in record]
    for record in broken[:TOLD_ERRORS]:
        print_warning(f"episode {record['episode']} broke: {record['error']}")
    if len(broken) > TOLD_ERRORS:
        print_warning(f"{len(broken) - TOLD_ERRORS} more episodes broke, see episodes.jsonl")


def _recorded(folder: Path | None) -> list[Path]:
    """The recording, if there is one; episodes that are not in it are named."""
    if folder is None or not folder.exists():
        return []
    from codi_core.evaluation.recorder import has_data, left_out

    reasons: dict[str, list[str]] = {}
    for number, why in left_out(folder).items():
        reasons.setdefault(why, []).append(str(number))
    for why, numbers in reasons.items():
        listed = ", ".join(numbers[:TOLD_ERRORS]) + (", …" if len(numbers) > TOLD_ERRORS else "")
        print_warning(f"{len(numbers)} episodes were not recorded ({listed}): {why}")
    return [folder] if has_data(folder) else []


def _interrupted(run: Run) -> int:
    path = run.folder.path
    command = f"{PROG} --resume --output {shlex.quote(str(path))}"
    print_error(
        f"interrupted after {len(run.episodes)} of {run.experiment.config.episodes} episodes, "
        f"which are in '{path}'; go on with: {command}"
    )
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
