"""``codi-bench task``: compare estimators in closed loop, on a task, at equal rollouts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codi_baselines.options import add_output_options, default_output
from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser, add_fields
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    parse_for_task,
)
from codi_core.errors import UsageError
from codi_core.experiments.configuration import FIELDS, RunConfig, resolve
from codi_core.quantities import whole

if TYPE_CHECKING:
    from codi_core.experiments.opening import InstalledTask
    from codi_core.host.assembly import OpenTask
    from codi_core.tasks import Task

PROG = "codi-bench task"

CHOSEN_BY_ENTRY = frozenset({"task", "method", "posterior", "guidance", "samples"})
"""What the entries decide, and the options of ``codi-run`` that this command has not."""

DEFAULTS: dict[str, Any] = {"episodes": 200, "seed": 1}


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parsed = parse_for_task(PROG, _parser, arguments)
    return 0 if parsed is None else _compare(*parsed, ["codi-bench", "task", *arguments])


def _parser(name: str | None, task: Task | None) -> Parser:
    parser = Parser(
        prog=PROG,
        add_help=False,
        description="Compare the estimators of the guidance score in closed loop, on a task. "
        "Each spends the same number of rollouts a replan, with the same --sampler but for entries "
        "that are about a sampler of their own.",
        epilog=installed_epilog(PROG) if task is None else None,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--task", metavar="NAME", help="the task")
    parser.add_argument(
        "--entries", nargs="+", metavar="NAME", help="measure only these (default: all)"
    )
    parser.add_argument(
        "--rollouts",
        type=whole(1),
        metavar="N",
        help="how many rollouts a replan may take (default: as many as the settings take)",
    )
    group = parser.add_argument_group("how each is run")
    add_fields(group, RunConfig, DEFAULTS, leave_out=CHOSEN_BY_ENTRY)
    add_output_options(parser.add_argument_group("what is written"), "TASK")
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    if task is not None:
        add_fields(parser.add_argument_group(f"options of {name}"), task.Options, None, TASK_PREFIX)
    return parser


def _compare(found: InstalledTask, given: argparse.Namespace, command: list[str]) -> int:
    from codi_baselines.grids.running import run_grid
    from codi_baselines.on_task.entries import chosen
    from codi_core.experiments import Grid

    task_options = given_task_options(vars(given))
    opened = found.open(task_options)
    asked = _asked(given)
    base = resolve(asked, opened)
    wanted = [entry.label for entry in chosen(opened.host, given.entries)]
    grid = Grid(
        opened.name,
        _rows(opened, base, given.rollouts, wanted),
        shared={**asked, "task_options": task_options},
        output=given.output or default_output(opened.name),
        command=command,
    )
    title = f"{opened.name}, predictor {base.predictor}"
    return run_grid(grid, title, given, PROG, wanted)


def _asked(given: argparse.Namespace) -> dict[str, Any]:
    """The options of ``codi-run`` that all entries have in common."""
    values = vars(given)
    asked = {name: values[name] for name in set(FIELDS) - CHOSEN_BY_ENTRY if name in values}
    return {**DEFAULTS, **asked}


def _rows(
    opened: OpenTask, base: RunConfig, rollouts: int | None, wanted: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The options of all entries, so that those that were measured before stay in the table.

    Raises:
        UsageError: one that is wanted can't be had for so few rollouts.
    """
    from codi_baselines.on_task.entries import entries, replan_schedule
    from codi_core.samplers import KarrasSchedule

    values = (base.steps, base.sigma_max, base.sigma_min, base.rho)
    schedule, sampler = KarrasSchedule(*values), str(base.sampler)  # type: ignore[arg-type]
    budget = rollouts or int(base.samples or 1) * replan_schedule(sampler, schedule).steps
    rows = {}
    for entry in entries(opened.host):
        try:
            rows[entry.label] = entry.options(budget, schedule, sampler)
        except UsageError:
            if entry.label in wanted:
                raise
    return rows


if __name__ == "__main__":
    sys.exit(main())
