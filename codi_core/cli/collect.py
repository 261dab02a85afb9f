"""``codi-collect``: collect a task's single-agent demonstrations into a data set."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from codi_core.commands.errors import INTERRUPTED, guarded, print_error
from codi_core.commands.options import Parser, add_fields
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    parse_for_task,
)
from codi_core.errors import CodiError, UsageError
from codi_core.host.quantities import whole
from codi_core.resources import Resources

if TYPE_CHECKING:
    from codi_core.data import DatasetWriter
    from codi_core.evaluation.progress import Progress
    from codi_core.experiments.opening import InstalledTask
    from codi_core.host.assembly import OpenTask
    from codi_core.tasks import Demonstrator, EpisodeRecord, Task, TaskParts

PROG = "codi-collect"
GIVE_UP = 3
"""Collecting ends if it takes this many times as many attempts as demonstrations."""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parsed = parse_for_task(PROG, _parser, arguments)
    if parsed is None:
        return 0
    found, given = parsed
    if given.output is None:
        raise UsageError("where to? give --output DIR, the folder of the new data set")
    return _collect(found, given, [PROG, *arguments])


def _parser(name: str | None, task: Task | None) -> Parser:
    parser = Parser(
        prog=PROG,
        add_help=False,
        epilog=installed_epilog(PROG) if task is None else None,
        description="Collect single-agent demonstrations into a LeRobotDataset.",
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--task", metavar="NAME", help="the task to demonstrate")
    parser.add_argument(
        "--episodes",
        type=whole(1),
        default=100,
        metavar="N",
        help="how many demonstrations (default: 100)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="the data set's folder")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set there")
    parser.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        metavar="N",
        help="the seed that everything random derives from (default: 0)",
    )
    parser.add_argument(
        "--worlds",
        type=whole(1),
        default=50,
        metavar="N",
        help="how many demonstrations run at once (default: 50)",
    )
    parser.add_argument(
        "--threads", type=whole(1), default=1, metavar="N", help="threads for tensors (default: 1)"
    )
    parser.add_argument(
        "--physics-threads",
        type=whole(1),
        default=None,
        metavar="N",
        help="threads for physics (default: one a core)",
    )
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    if task is not None:
        group = parser.add_argument_group(f"options of {name}")
        add_fields(group, task.CollectionOptions, prefix=TASK_PREFIX)
    return parser


@attrs.define
class _Collection:
    """Demonstrations until there are enough of them."""

    demonstrator: Demonstrator
    writer: DatasetWriter
    wanted: int
    worlds: int
    seed: int
    records: list[EpisodeRecord] = attrs.field(factory=list)

    @property
    def written(self) -> int:
        """How many demonstrations are in the data set."""
        return sum(bool(record["frames"]) for record in self.records)

    def run(self, progress: Progress) -> None:
        from codi_core.tasks import EpisodeKey

        while self.written < self.wanted:
            attempts = len(self.records)
            if attempts >= GIVE_UP * self.wanted + self.worlds:
                raise CodiError(
                    f"only {self.written} of {attempts} attempts gave a demonstration: giving up"
                )
            count = min(self.worlds, self.wanted - self.written)
            keys = [EpisodeKey(self.seed, attempts + world) for world in range(count)]
            progress.wave(count)
            fresh = self.demonstrator.collect(keys, self.writer)
            self.records += [
                {"episode": key.episode, **record} for key, record in zip(keys, fresh, strict=True)
            ]
            progress.finished([record for record in fresh if record["frames"]])


def _collect(found: InstalledTask, given: argparse.Namespace, command: list[str]) -> int:
    import torch
    from rich.console import Console

    from codi_core.data import DatasetWriter
    from codi_core.evaluation.progress import make_progress

    opened = found.open(given_task_options(vars(given)))
    parts = opened.parts
    torch.set_num_threads(given.threads)
    demonstrator = _demonstrator(opened.name, parts, given.physics_threads)
    writer = DatasetWriter(
        given.output,
        demonstrator.features,
        round(parts.rate_hz),
        demonstrator.robot_type,
        overwrite=given.overwrite,
    )
    collection = _Collection(demonstrator, writer, given.episodes, given.worlds, given.seed)
    began, interrupted = time.monotonic(), False
    try:
        with make_progress(Console(stderr=True)) as progress:
            progress.begin(given.episodes, 1, [])
            collection.run(progress)
    except KeyboardInterrupt:
        interrupted = True
    except BaseException:
        writer.discard()
        raise
    writer.close()
    seconds = time.monotonic() - began
    _document(opened, given, command, collection.records, seconds)
    pictures = [] if interrupted else demonstrator.report(collection.records, given.output)
    _summary(collection, seconds, [given.output, *pictures])
    if interrupted:
        print_error(
            f"interrupted: the data set has {collection.written} of {given.episodes} demonstrations"
        )
        return INTERRUPTED
    return 0


def _demonstrator(name: str, parts: TaskParts, threads: int | None) -> Demonstrator:
    if parts.demonstrator is None:
        raise UsageError(f"task '{name}' has no demonstrations to collect")
    return parts.demonstrator(Resources(threads=threads or os.cpu_count() or 1))


def _document(
    opened: OpenTask,
    given: argparse.Namespace,
    command: list[str],
    records: list[EpisodeRecord],
    seconds: float,
) -> None:
    """Write beside the data how it was made, as ``collection.json``."""
    from codi_core.experiments import provenance

    content = {
        "task": opened.name,
        "task_options": {
            field.name: getattr(opened.options, field.name)
            for field in attrs.fields(opened.task.CollectionOptions)
        },
        "seed": given.seed,
        "worlds": given.worlds,
        "command": command,
        "seconds": round(seconds, 1),
        "versions": provenance.versions(opened.host),
        "machine": provenance.machine(),
        "episodes": records,
    }
    text = json.dumps(content, indent=1, default=str)
    (given.output / "collection.json").write_text(text + "\n", encoding="utf-8")


def _summary(collection: _Collection, seconds: float, written: Sequence[Path]) -> None:
    frames = sum(record["frames"] for record in collection.records)
    print(
        f"{collection.written} demonstrations with {frames} frames from "
        f"{len(collection.records)} attempts in {seconds:.1f} s"
    )
    for path in written:
        print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
