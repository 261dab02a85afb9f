"""``codi-bench task``: compare estimators in closed loop, on a task, at equal rollouts."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.commands.errors import INTERRUPTED, guarded, print_error, print_warning
from codi_core.commands.options import Parser, add_fields
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    parse_for_task,
)
from codi_core.errors import MissingExtraError
from codi_core.experiments.configuration import FIELDS, RunConfig, resolve
from codi_core.host.quantities import whole

if TYPE_CHECKING:
    from codi_baselines.on_task.entries import Entry
    from codi_baselines.on_task.table import Row
    from codi_core.evaluation.run_folder import RunFolder
    from codi_core.experiments.opening import InstalledTask
    from codi_core.host.assembly import OpenTask
    from codi_core.samplers import KarrasSchedule
    from codi_core.tasks import Task

PROG = "codi-bench task"

CHOSEN_BY_ENTRY = frozenset({"task", "method", "posterior", "guidance", "samples"})
"""What the entries decide, and the options of ``codi-run`` that this command has not."""


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
    shown: dict[str, Any] = {"episodes": 200, "seed": 1}
    group = parser.add_argument_group("how each is run")
    add_fields(group, RunConfig, shown, leave_out=CHOSEN_BY_ENTRY)
    written = parser.add_argument_group("what is written")
    written.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="the folder of the results, with one run folder an entry "
        "(default: runs/bench-TASK-TIME)",
    )
    written.add_argument("--resume", action="store_true", help="go on with what is in --output")
    written.add_argument("--overwrite", action="store_true", help="remove what is in --output")
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    if task is not None:
        add_fields(parser.add_argument_group(f"options of {name}"), task.Options, None, TASK_PREFIX)
    return parser


def _compare(found: InstalledTask, given: argparse.Namespace, command: list[str]) -> int:
    from codi_baselines.on_task.entries import chosen, entries

    opened = found.open(given_task_options(vars(given)))
    base = _configuration(given, opened)
    budget = given.rollouts or int(base.samples or 1) * _replan_schedule(base).steps
    wanted = chosen(opened.host, given.entries)
    configurations = {entry.label: for_entry(entry, base, budget) for entry in wanted}
    folder = given.output or Path("runs") / time.strftime(f"bench-{opened.name}-%Y%m%d-%H%M%S")
    title = f"{opened.name}, predictor {base.predictor}"
    order = [entry.label for entry in entries(opened.host)]
    rows: dict[str, Row] = {}
    for label, configuration in configurations.items():
        print(f"{label}: {configuration.episodes} episodes", file=sys.stderr)
        row, finished = _measure(opened, configuration, folder / label, given, command)
        if row is not None:
            rows[label] = row
        # After each entry, so that an interrupted comparison has its table.
        shown = _with_earlier(folder, rows, order)
        _write(folder, title, shown)
        if not finished:
            return _interrupted(folder, label)
    _print_table(title, shown)
    for name in ("results.json", "results.csv", "results.png"):
        print(f"wrote {folder / name}")
    return 0


def _configuration(given: argparse.Namespace, opened: OpenTask) -> RunConfig:
    values = vars(given)
    asked = {name: values[name] for name in set(FIELDS) - CHOSEN_BY_ENTRY if name in values}
    return resolve({"episodes": 200, "seed": 1, **asked}, opened)


def _schedule(base: RunConfig) -> KarrasSchedule:
    from codi_core.samplers import KarrasSchedule

    return KarrasSchedule(base.steps, base.sigma_max, base.sigma_min, base.rho)  # type: ignore[arg-type]


def _replan_schedule(base: RunConfig) -> KarrasSchedule:
    from codi_baselines.on_task.entries import replan_schedule

    return replan_schedule(str(base.sampler), _schedule(base))


def for_entry(entry: Entry, base: RunConfig, budget: int) -> RunConfig:
    """The resolved configuration ``base`` for an entry that spends ``budget`` rollouts a replan."""
    return attrs.evolve(base, **entry.options(budget, _schedule(base), str(base.sampler)))


def _measure(
    opened: OpenTask,
    configuration: RunConfig,
    path: Path,
    given: argparse.Namespace,
    command: list[str],
) -> tuple[Row | None, bool]:
    """One entry's row, as far as its run has come, and whether it has come to its end."""
    from codi_core.evaluation.run_folder import RunFolder
    from codi_core.experiments.experiment import Experiment
    from codi_core.experiments.running import run_experiment, standard_progress

    experiment = Experiment(opened, configuration)
    # An entry is claimed, not the whole comparison: two processes may measure different entries.
    run = run_experiment(
        experiment,
        RunFolder(path),
        experiment.document(command),
        standard_progress(),
        given.resume,
        given.overwrite,
    )
    return _row(run.folder, run.metrics), run.finished


def _row(folder: RunFolder, metrics: Mapping[str, Any]) -> Row | None:
    """The row of an entry's run; None if none of its episodes has finished."""
    from codi_baselines.on_task.table import make_row
    from codi_core.evaluation.metrics import replan_seconds, world_plans

    waves = folder.waves()
    if not metrics["episodes"]:
        return None
    worlds = world_plans(waves) / len(replan_seconds(waves))
    return make_row(folder.path.name, metrics, worlds)


def _with_earlier(folder: Path, found: Mapping[str, Row], order: Sequence[str]) -> list[Row]:
    """The rows of this call, and of entries that an earlier one measured in the same folder."""
    from codi_core.evaluation.run_folder import RunFolder

    rows: list[Row | None] = []
    for label in order:
        run = RunFolder(folder / label)
        if label in found:
            rows.append(found[label])
        elif run.file("metrics.json").exists():
            rows.append(_row(run, json.loads(run.file("metrics.json").read_text("utf-8"))))
    return [row for row in rows if row is not None]


def _write(folder: Path, title: str, rows: Sequence[Row]) -> None:
    from codi_baselines.on_task.picture import write_picture
    from codi_baselines.on_task.table import to_csv
    from codi_core.files.durable import to_json, write_durably

    document = {"title": title, "rows": [attrs.asdict(row) for row in rows]}
    write_durably(folder / "results.json", to_json(document))
    write_durably(folder / "results.csv", to_csv(rows))
    try:
        write_picture(folder / "results.png", title, rows)
    except MissingExtraError as error:
        print_warning(f"no picture was drawn: {error}")


def _print_table(title: str, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    own = next(iter(rows[0].task_metrics), None) if rows else None
    table = Table(title=title)
    table.add_column("entry", no_wrap=True)
    for heading in ("episodes", "success (95 %)", "time [s]", "rollouts", "ms a plan and world"):
        table.add_column(heading, justify="right")
    if own is not None:
        table.add_column(own.replace("_", " "), justify="right")
    for row in rows:
        low, high = row.interval
        cells = [
            row.entry,
            str(row.episodes),
            f"{row.success_rate:.1%} ({low:.1%} to {high:.1%})",
            f"{row.seconds_to_success:.1f}",
            f"{row.rollouts:.0f}",
            f"{1e3 * row.plan_seconds:.1f}",
        ]
        if own is not None:
            cells.append(f"{row.task_metrics.get(own, float('nan')):.4g}")
        table.add_row(*cells)
    console = Console()
    (console if console.is_terminal else Console(width=130)).print(table)


def _interrupted(folder: Path, label: str) -> int:
    print_error(
        f"interrupted in '{label}'; what has finished is in '{folder}'; go on with the same "
        f"options and: --resume --output {shlex.quote(str(folder))}"
    )
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
