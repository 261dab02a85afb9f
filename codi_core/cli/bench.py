"""``codi-bench JOB ...``: benchmarks of the project, one job each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import attrs

from codi_core.cli.errors import Main, guarded
from codi_core.errors import UsageError
from codi_core.host.registry import unknown_name

PROG = "codi-bench"


@attrs.frozen
class Job:
    """One benchmark.

    Attributes:
        summary: one line for the list.
        factory: imports and returns its ``main``.
    """

    summary: str
    factory: Callable[[], Main]


def _estimators() -> Main:
    from codi_core.cli.bench_estimators import main

    return main


def _task() -> Main:
    from codi_core.cli.bench_task import main

    return main


def _locality() -> Main:
    from codi_core.cli.bench_locality import main

    return main


JOBS: Mapping[str, Job] = MappingProxyType(
    {
        "estimators": Job("estimators of the guidance score against exact solutions", _estimators),
        "locality": Job("bias and variance of factored guidance on chains and grids", _locality),
        "task": Job("estimators in closed loop on a task, at equal rollouts", _task),
    }
)


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job that the first argument names, with the others."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: {PROG} JOB ...\n\njobs:")
        for name, job in JOBS.items():
            print(f"  {name:<12} {job.summary}")
        print(f"\n{PROG} JOB --help shows a job's options.")
        return 0
    if not arguments or arguments[0].startswith("-"):
        raise UsageError(f"which job? write {PROG} JOB; valid: {', '.join(JOBS)}")
    if arguments[0] not in JOBS:
        raise unknown_name("job", arguments[0], JOBS)
    return JOBS[arguments[0]].factory()(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
