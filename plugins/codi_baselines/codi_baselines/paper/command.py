"""``codi-bench paper``: run the paper's simulation experiments, and say which claims hold."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_baselines.options import add_output_options, default_output
from codi_baselines.paper.claims import ENOUGH
from codi_baselines.paper.outcomes import Measures, read_measures
from codi_baselines.paper.rows import ROWS, sort_out
from codi_baselines.selection import select
from codi_core.commands.errors import guarded, print_warning
from codi_core.commands.options import Parser, add_fields
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    parse_for_task,
)
from codi_core.errors import GridError, UsageError
from codi_core.experiments.configuration import FIELDS, RunConfig
from codi_core.quantities import whole

if TYPE_CHECKING:
    from codi_core.experiments import Grid
    from codi_core.experiments.opening import InstalledTask
    from codi_core.host.assembly import OpenTask
    from codi_core.tasks import Task

PROG = "codi-bench paper"
TASK = "franka-handoff"
PRESET = "paper"
QUICK_EPISODES = 12

CHOSEN_BY_ROW = frozenset({"task", "method", "policy", "checkpoint", "cost", "driver"})
"""What the rows decide, and the options of ``codi-run`` that this command has not."""

DEFAULTS: dict[str, Any] = {"episodes": 200, "seed": 307, "worlds": 25}


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    helping = not {"-h", "--help"}.isdisjoint(arguments)
    parsed = parse_for_task(PROG, _parser, arguments, None if helping else TASK)
    return 0 if parsed is None else _reproduce(*parsed, ["codi-bench", "paper", *arguments])


def _parser(name: str | None, task: Task | None) -> Parser:
    parser = Parser(
        prog=PROG,
        add_help=False,
        description="Run every method of the paper on the same starts; draw its figures, and say "
        "which of its claims hold. Several processes may share the work: start them with the same "
        "options and --resume.",
        epilog=installed_epilog(PROG) if task is None else None,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--task", metavar="NAME", help=f"the task (default: {TASK})")
    parser.add_argument(
        "--rows",
        nargs="+",
        metavar="NAME",
        help=f"run only these (default: all): {', '.join(row.label for row in ROWS)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK_EPISODES} episodes, and only the rows that the figures need most",
    )
    parser.add_argument(
        "--workers", type=whole(1), default=1, metavar="N", help="processes (default: 1)"
    )
    group = parser.add_argument_group("how each is run")
    add_fields(group, RunConfig, DEFAULTS, leave_out=CHOSEN_BY_ROW)
    _add_data(parser.add_argument_group("what the figures are made of"))
    add_output_options(parser.add_argument_group("what is written"), "paper")
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    if task is not None:
        add_fields(parser.add_argument_group(f"options of {name}"), task.Options, None, TASK_PREFIX)
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    for what in ("single-agent", "joint"):
        group.add_argument(
            f"--{what}-data",
            type=Path,
            metavar="DIR",
            help=f"the {what} demonstrations, whose initial positions are drawn (Fig. 2)",
        )
    group.add_argument(
        "--position",
        default="state.cube_position",
        metavar="FEATURE",
        help="what says where they begin (default: state.cube_position)",
    )
    group.add_argument(
        "--measure",
        action="append",
        default=[],
        metavar="NAME=FIELD",
        help="which value of the task's records means what; repeatable. By default: "
        + ", ".join(f"{name}={field}" for name, field in attrs.asdict(Measures()).items()),
    )


def _reproduce(found: InstalledTask, given: argparse.Namespace, command: list[str]) -> int:
    from codi_baselines.paper.report import Report
    from codi_baselines.results import conclude
    from codi_core.experiments import Grid, worker_pool

    opened = found.open(given_task_options(vars(given)))
    shared, measures = _shared(given, opened), read_measures(given.measure)
    # Also rows that aren't asked for now: those that were measured before stay in the table.
    able, reasons = sort_out(ROWS, found, shared)
    asked = _asked(given, reasons)
    grid = Grid(
        opened.name,
        {row.label: row.options for row in able},
        shared=shared,
        output=given.output or default_output("paper"),
        command=command,
    )
    report = Report(grid.path, _title(opened.name, shared), able, measures, reasons, command)
    with nullcontext() if given.workers == 1 else worker_pool(given.workers) as pool:
        try:
            finished = grid.run(
                only=asked, resume=given.resume, overwrite=given.overwrite, executor=pool
            )
        except GridError:
            report.write(_data(given))
            raise
    report.write(_data(given))
    return conclude(finished, f"{_done(grid)} episodes", grid.path, PROG)


def _shared(given: argparse.Namespace, opened: OpenTask) -> dict[str, Any]:
    """The options of ``codi-run`` that all rows have in common."""
    values = vars(given)
    asked = {name: values[name] for name in set(FIELDS) - CHOSEN_BY_ROW if name in values}
    defaults = dict(DEFAULTS)
    if given.quick:
        defaults["episodes"] = QUICK_EPISODES
    if PRESET in opened.parts.presets:
        defaults["preset"] = PRESET
    # Several workers share the cores.
    defaults["physics_threads"] = max(1, (os.cpu_count() or 1) // given.workers)
    return {**defaults, **asked, "task_options": given_task_options(values)}


def _asked(given: argparse.Namespace, reasons: Mapping[str, str]) -> list[str]:
    """The labels of the rows that are run.

    Args:
        given: what was typed.
        reasons: why rows can't be run, by label.

    Raises:
        UsageError: a row that was asked for by its name can't be run, or none can.
    """
    wanted = [row.label for row in select("row", ROWS, given.rows)]
    if given.quick and given.rows is None:
        wanted = [row.label for row in ROWS if row.quick]
    able = [label for label in wanted if label not in reasons]
    for label in wanted:
        if label in reasons and (given.rows or not able):
            raise UsageError(f"row '{label}' cannot be run: {reasons[label]}")
        if label in reasons:
            print_warning(f"row '{label}' is left out: {reasons[label]}")
    return able


def _data(given: argparse.Namespace) -> dict[str, tuple[Path, str]]:
    """By what they are called, the data sets that were given, and what says where they begin."""
    named = {"single-agent": given.single_agent_data, "joint": given.joint_data}
    return {name: (path, given.position) for name, path in named.items() if path is not None}


def _title(task: str, shared: dict[str, Any]) -> str:
    preset = f", preset {shared['preset']}" if shared.get("preset") else ""
    few = " (a preview)" if shared["episodes"] < ENOUGH else ""
    return f"{task}{preset}: {shared['episodes']} starts, seed {shared['seed']}{few}"


def _done(grid: Grid) -> int:
    return sum(row["episodes"] for row in grid.rows())


if __name__ == "__main__":
    sys.exit(main())
