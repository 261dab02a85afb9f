"""``codi-run --only``: episodes of a run again, as they were."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codi_core.cli.pictures import attempt
from codi_core.commands.output import say
from codi_core.errors import UsageError
from codi_core.quantities import whole

if TYPE_CHECKING:
    from codi_core.experiments.running import Run
    from codi_core.tasks import EpisodeRecord


def add_option(group: Any) -> None:
    """Add ``--only``."""
    group.add_argument(
        "--only",
        type=whole(0),
        nargs="+",
        metavar="N",
        help="run these episodes of the run in --output again, each beside those of its original "
        "wave, so that they come out as they were: their events are kept and a video is made; "
        "nothing else in the folder changes",
    )


def check_only(given: argparse.Namespace) -> None:
    """Check what is given beside ``--only``.

    Raises:
        UsageError: something that doesn't go with it.
    """
    if given.only is None:
        return
    if given.output is None:
        raise UsageError("--only needs --output DIR: the folder of the run with these episodes")
    if given.source is not None or given.overwrite:
        raise UsageError(
            "--only leaves the run in --output as it is; it excludes --from and --overwrite"
        )


def replay(run: Run, given: argparse.Namespace) -> int:
    """Run the episodes that ``--only`` names; returns the exit code."""
    from codi_core.experiments.replaying import replay_run
    from codi_core.experiments.running import standard_progress

    for name in ("record", "video_episodes", "report"):
        if getattr(given, name):
            raise UsageError(
                f"--only keeps and films the episodes that it names: leave "
                f"--{name.replace('_', '-')} out"
            )
    numbers = sorted(set(given.only))
    replay_run(run, numbers, standard_progress())
    records = {record["episode"]: record for record in run.episodes}
    for number in numbers:
        say(_told(records[number]))
        for path in _kept(run, number, filmed=given.video is not False):
            say(f"wrote {path}")
    return 0


def _told(record: EpisodeRecord) -> str:
    if record["success"]:
        outcome = f"success after {record['completion_time_s']:g} s"
    else:
        outcome = f"failure: {record['error']}" if "error" in record else "no success"
    return f"episode {record['episode']}, as it was: {outcome}"


def _kept(run: Run, number: int, filmed: bool) -> list[Path]:
    """The files that show an episode; a world that broke at its start leaves none."""
    trace = run.folder.trace_file(number)
    if not trace.exists():
        return []
    video = trace.with_suffix(".mp4")
    name = str(video.relative_to(run.folder.path))
    return [
        trace,
        *(attempt(name, lambda: run.write_video([number], name)) if filmed else []),
    ]
