"""``codi-run``: run a task in closed loop, measure it, and write a run folder."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.cli.configuration import RunConfig, from_json, resolve, task_defaults
from codi_core.cli.errors import INTERRUPTED, guarded, print_error
from codi_core.cli.opening import (
    TASK_PREFIX,
    Opened,
    given_task_options,
    installed_epilog,
    open_task,
)
from codi_core.cli.options import Parser, add_fields, make_options, whole
from codi_core.errors import CodiError, UsageError

if TYPE_CHECKING:
    from codi_core.evaluation.run_folder import RunFolder
    from codi_core.tasks import Task

PROG = "codi-run"


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
    opened = open_task(first.strict_plugins, name)
    parser = _full_parser(opened.name, opened.task)
    if first.help:
        parser.print_help()
        return 0
    given = parser.parse_args(arguments)
    config, task_options = _split(given, stored)
    options = make_options(opened.task.Options, task_options, opened.name)
    return _run(opened, options, attrs.evolve(config, task=opened.name), given, arguments)


def _first_parser() -> Parser:
    """Reads only what decides which options there are."""
    parser = Parser(prog=PROG, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--task")
    parser.add_argument("--strict-plugins", action="store_true")
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
    group.add_argument("--overwrite", action="store_true", help="remove the run in --output first")
    group.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="RUN_DIR",
        help="run again what another run folder's config.json says; options given "
        "beside it prevail",
    )


def _full_parser(name: str | None, task: Task | None) -> Parser:
    parser = Parser(
        prog=PROG,
        add_help=False,
        description="Run a task in closed loop and measure it.",
        epilog=installed_epilog(PROG)
        if task is None
        else f"codi-plugins lists the costs, posteriors and methods for {name}.",
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
    add_fields(parser.add_argument_group("what is run"), RunConfig, _shown_defaults(task))
    output = parser.add_argument_group("what is written")
    _add_folder_options(output)
    output.add_argument(
        "--report", action=argparse.BooleanOptionalAction, default=True, help="write report.png"
    )
    output.add_argument(
        "--video",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write video.mp4 if the task has pictures",
    )
    output.add_argument(
        "--video-episodes",
        type=whole(0),
        nargs="+",
        default=[0],
        metavar="N",
        help="the episodes in the video (default: 0)",
    )
    if task is not None:
        group = parser.add_argument_group(f"options of {name}")
        add_fields(group, task.Options, prefix=TASK_PREFIX)
    return parser


def _shown_defaults(task: Task | None) -> dict[str, Any]:
    if task is None:
        return {}
    try:
        return task_defaults(task.parts(task.Options()))
    except (CodiError, TypeError, ValueError):
        # A task with required options has no parts yet.
        return {}


def _stored(first: argparse.Namespace) -> Mapping[str, Any]:
    """The configuration that this run starts from: of --from, or of the run to resume."""
    if first.resume and first.output is None:
        raise UsageError("--resume needs --output DIR: the folder of the run to go on with")
    if first.resume and (first.source is not None or first.overwrite):
        raise UsageError("--resume goes on with a run; it excludes --from and --overwrite")
    path = first.output if first.resume else first.source
    if path is None or (first.resume and not (path / "config.json").exists()):
        return {}
    from codi_core.evaluation.run_folder import RunFolder

    return dict(RunFolder(path).config()["configuration"])


def _split(
    given: argparse.Namespace, stored: Mapping[str, Any]
) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration and the task's options: what was given, over what was stored."""
    values = vars(given)
    fields = {field.name for field in attrs.fields(RunConfig)}
    config = {**stored, **{name: values[name] for name in fields if name in values}}
    # Stored options of another task mean nothing to this one.
    same = stored.get("task") == config.get("task")
    task_options = dict(stored.get("task_options", {})) if same else {}
    task_options.update(given_task_options(values))
    return from_json({**config, "task_options": {}}), task_options


def _run(
    opened: Opened,
    options: Any,
    config: RunConfig,
    given: argparse.Namespace,
    arguments: Sequence[str],
) -> int:
    from codi_core.cli.session import Session
    from codi_core.cli.summary import print_summary
    from codi_core.evaluation.exclusive import exclusive
    from codi_core.evaluation.run_folder import RunFolder

    parts = opened.task.parts(options)
    config = resolve(config, parts, options)
    video = frozenset(given.video_episodes) if given.video and parts.renderer else frozenset()
    session = Session(opened, parts, config, video)
    folder = RunFolder(given.output or _default_output(config))
    evaluation = session.evaluation()
    with exclusive(folder.path):
        folder.prepare(session.document([PROG, *arguments]), given.resume, given.overwrite)
        finished = session.run(evaluation, folder)
        metrics = session.write_metrics(folder)
        if not finished:
            return _interrupted(folder, metrics["episodes"], config)
        written = session.write_pictures(folder, metrics, given.report)
    print_summary(metrics, [folder.file("metrics.json"), folder.file("episodes.jsonl"), *written])
    return 0


def _default_output(config: RunConfig) -> Path:
    method = config.method.partition(":")[0]
    return Path("runs") / f"{config.task}-{method}-{time.strftime('%Y%m%d-%H%M%S')}"


def _interrupted(folder: RunFolder, done: int, config: RunConfig) -> int:
    command = f"{PROG} --resume --output {shlex.quote(str(folder.path))}"
    print_error(
        f"interrupted after {done} of {config.episodes} episodes, which are in "
        f"'{folder.path}'; go on with: {command}"
    )
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
