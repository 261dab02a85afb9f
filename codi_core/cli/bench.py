"""``codi-bench JOB ...``: the benchmarks that plugins register, one job each."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.registered import run_registered
from codi_core.errors import UsageError
from codi_core.host.plugins import load_plugins
from codi_core.version import __version__

PROG = "codi-bench"


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the first argument names, with the others."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        print(f"{PROG} {__version__}")
        return 0
    jobs = load_plugins(warn=print_warning).benchmarks
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: {PROG} JOB ...\n\njobs:")
        for record in jobs:
            print(f"  {record.name:<12} {record.summary}")
        if not len(jobs):
            print("  none is installed; codi-baselines brings some")
        print(f"\n{PROG} JOB --help shows a job's options.")
        return 0
    if not arguments or arguments[0].startswith("-"):
        valid = ", ".join(jobs.names()) or "none is installed; codi-baselines brings some"
        raise UsageError(f"which job? write {PROG} JOB; valid: {valid}")
    record = jobs.get(arguments[0])
    return run_registered(record, f"benchmark '{record.name}'", arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
