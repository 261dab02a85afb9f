"""``codi-bench hardware runs``: its options, and the runs one after the other."""

from __future__ import annotations

import argparse

from codi_core.commands.output import say
from codi_core.errors import PluginError, UsageError
from codi_core.files.durable import writing
from codi_core.quantities import positive, whole
from codi_franka.handoff.options import HandoffOptions
from codi_franka.hardware.bench.run_results import PICTURED, TRUTH, Asked, RunsFile, line
from codi_franka.hardware.bench.runs import long_run
from codi_franka.vision.extra import require_vision

DESCRIPTION = """Drive two simulated arms for a long time, while somebody puts the cube back.

How the cube is seen, by --cameras:

  truth   the cell says where it is, spoilt by the tracker's errors as they were measured
  fixed   pictures of two cameras beside the table are rendered, spoilt, and tracked by what tracks
          the cube of real arms
  hands   the same with a camera on each hand

After each run its result is kept in runs.json. With the same --output finished runs are not run
again, and one that was interrupted is begun anew.
"""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options of the job, besides those that others have, too."""
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--seconds", type=positive, default=720.0, metavar="S", help="of each run (default: 720)"
    )
    parser.add_argument(
        "--attempts", type=whole(1), metavar="N", help="end a run after so many attempts"
    )
    parser.add_argument(
        "--runs", type=whole(1), default=3, metavar="N", help="how many runs (default: 3)"
    )
    parser.add_argument("--preset", metavar="NAME", help="of the task's options for planning")
    parser.add_argument(
        "--cameras",
        choices=(TRUTH, *PICTURED),
        default=TRUTH,
        help="how the cube is seen; see above (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=positive,
        default=10.0,
        metavar="HZ",
        help="pictures a second of the arms, if there is time to draw them (default: 10)",
    )
    parser.add_argument(
        "--box",
        type=positive,
        nargs=3,
        metavar=("L", "W", "H"),
        help="edges of what is handed over [mm], as dense as the cube; it is put down with H "
        "upwards (default: the cube, 50 50 50)",
    )


def long_runs(given: argparse.Namespace) -> int:
    """Run them; the seeds of further ones follow the first one's."""
    box = None if given.box is None else tuple(given.box)
    asked = Asked(
        seconds=given.seconds,
        slowdown=given.slowdown,
        cameras=given.cameras,
        rate=given.rate,
        box=HandoffOptions(box=box).box,
        attempts=given.attempts,
        preset=given.preset,
    )
    try:
        require_vision()
    except PluginError as error:
        raise UsageError(f"--cameras {asked.cameras}: {error}") from error
    with writing(given.output):
        kept = RunsFile(given.output, asked)
        for seed in range(given.seed, given.seed + given.runs):
            run = kept.of(seed)
            if run is None:
                run = long_run(seed, asked, given.output / f"run-{seed}")
                kept.add(run)
            else:
                say(f"seed {seed} was run before")
            say(line(run))
    say(f"wrote {kept.path}")
    return 0
