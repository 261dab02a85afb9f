"""``codi-collect``: collect a task's demonstrations, of one agent or of all, into a data set."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.commands.errors import INTERRUPTED, guarded, print_error, print_warning
from codi_core.commands.options import Parser, add_fields, add_version
from codi_core.commands.output import say
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    parse_for_task,
    with_examples,
)
from codi_core.errors import UsageError

if TYPE_CHECKING:
    from codi_core.experiments.collecting import Collection
    from codi_core.experiments.opening import InstalledTask
    from codi_core.tasks import Task

PROG = "codi-collect"

_EXAMPLES = """\
codi-collect --task {name} --episodes 100 --output demonstrations
codi-collect --resume --output demonstrations --episodes 200
codi-train demonstrations --output runs/policy
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    stored = _stored(arguments)
    parsed = parse_for_task(PROG, _parser, arguments, stored.get("task"))
    if parsed is None:
        return 0
    found, given = parsed
    if given.output is None:
        raise UsageError("where to? give --output DIR, the folder of the new data set")
    return _collect(found, given, stored, [PROG, *arguments])


def _add_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, metavar="DIR", help="the data set's folder")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the collection in --output; it brings its own options, and --episodes "
        "may ask for more",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a data set there")


def _parser(name: str | None, task: Task | None) -> Parser:
    from codi_core.experiments.collection_settings import CollectionSettings

    parser = Parser(
        prog=PROG,
        add_help=False,
        description="Collect demonstrations of one agent, or of all, into a LeRobotDataset.",
        **with_examples(
            _EXAMPLES.format(name=name or "NAME"), installed_epilog(PROG) if task is None else None
        ),
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    add_version(parser)
    parser.add_argument("--task", metavar="NAME", help="the task to demonstrate")
    _add_folder_options(parser)
    add_fields(parser, CollectionSettings)
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    if task is not None:
        group = parser.add_argument_group(f"options of {name}")
        add_fields(group, task.CollectionOptions, prefix=TASK_PREFIX)
    return parser


def _stored(arguments: Sequence[str]) -> dict[str, Any]:
    """What the collection to resume was made with; nothing for a new one."""
    first = Parser(prog=PROG, add_help=False)
    _add_folder_options(first)
    early, _ = first.parse_known_args(arguments)
    if not early.resume or early.output is None:
        return {}
    from codi_core.experiments.collection_settings import read_document

    return read_document(early.output)


def _collect(
    found: InstalledTask, given: argparse.Namespace, stored: dict[str, Any], command: list[str]
) -> int:
    import torch

    from codi_core.experiments.collecting import Collection
    from codi_core.experiments.collection_settings import CollectionSettings
    from codi_core.experiments.running import standard_progress

    names = attrs.fields_dict(CollectionSettings)
    values = {**stored, **vars(given)}
    settings = CollectionSettings(**{name: values[name] for name in names if name in values})
    # Stored options of another task mean nothing to this one.
    same = stored.get("task") in (None, found.name)
    options = {
        **(stored.get("task_options", {}) if same else {}),
        **given_task_options(vars(given)),
    }
    torch.set_num_threads(settings.threads)
    with Collection(
        found.open(options),
        settings,
        given.output,
        command,
        overwrite=given.overwrite,
        resume=given.resume,
    ) as collection:
        finished = collection.run(standard_progress())
        pictures = _pictures(collection) if finished else []
    if collection.written:
        _tell(collection, pictures)
    return 0 if finished else _interrupted(collection)


def _pictures(collection: Collection) -> list[Path]:
    """A picture that fails must not spoil demonstrations that are there."""
    try:
        return list(collection.demonstrator.report(collection.records, collection.folder))
    except Exception as error:
        print_warning(f"no picture was drawn: {type(error).__name__}: {error}")
        return []


def _tell(collection: Collection, pictures: Sequence[Path]) -> None:
    attempts = len(collection.records)
    succeeded = sum(bool(record["success"]) for record in collection.records)
    say(
        f"{collection.written} demonstrations with {collection.frames} frames from "
        f"{attempts} attempts in {collection.seconds:.1f} s; {succeeded} attempts "
        f"({succeeded / attempts:.1%}) succeeded"
    )
    for path in (collection.folder, *pictures):
        say(f"wrote {path}")


def _interrupted(collection: Collection) -> int:
    wanted, folder = collection.settings.episodes, collection.folder
    if not collection.written:
        print_error("interrupted before there were any demonstrations")
        return INTERRUPTED
    again = shlex.join([PROG, "--resume", "--output", str(folder)])
    print_error(
        f"interrupted: '{folder}' has {collection.written} of {wanted} demonstrations; go on "
        f"with: {again}"
    )
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
