"""What this distribution registers. Nothing heavy is imported before a factory is called."""

from __future__ import annotations

from collections.abc import Iterator

from codi_core.host.hookspecs import hookimpl
from codi_core.host.records import BenchmarkRecord, Main


@hookimpl
def codi_benchmarks() -> Iterator[BenchmarkRecord]:
    """The comparisons, and grids of any runs."""
    yield BenchmarkRecord(
        "estimators", "estimators of the guidance score against exact solutions", _estimators
    )
    yield BenchmarkRecord(
        "locality", "bias and variance of factored guidance on chains and grids", _locality
    )
    yield BenchmarkRecord("grid", "rows of options in a file, run into one table", _grid)
    yield BenchmarkRecord("task", "estimators in closed loop on a task, at equal rollouts", _task)


def _estimators() -> Main:
    from codi_baselines.closed_form.command import main

    return main


def _locality() -> Main:
    from codi_baselines.locality.command import main

    return main


def _grid() -> Main:
    from codi_baselines.grids.command import main

    return main


def _task() -> Main:
    from codi_baselines.on_task.command import main

    return main
