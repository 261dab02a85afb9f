"""``codi-train-baseline``: train a baseline on joint demonstrations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codi_baselines.settings import PLANS
from codi_baselines.train.trainings import TRAINED
from codi_core.commands.errors import guarded
from codi_core.commands.options import Parser, add_fields, add_version
from codi_core.commands.task_options import (
    TASK_PREFIX,
    given_task_options,
    installed_epilog,
    parse_for_task,
)
from codi_core.commands.training import (
    add_folder_options,
    add_settings,
    run_training,
)
from codi_core.errors import UsageError
from codi_core.experiments.configuration import FIELDS, RunConfig, resolve
from codi_core.host.registry import unknown_name

if TYPE_CHECKING:
    from codi_core.experiments.opening import InstalledTask
    from codi_core.tasks import Task

PROG = "codi-train-baseline"

_METHODS = "\n".join(f"  {name:12}{method.summary}" for name, method in TRAINED.items())

_TEXT = f"""\
Train a baseline of the paper on joint demonstrations, for one task, goal and cost.

methods:
{_METHODS}

{PROG} METHOD --help shows a method's own options."""

_EXAMPLES = f"""\
examples:
  codi-collect --task franka-handoff --joint --output demonstrations
  {PROG} cg-joint demonstrations --task franka-handoff --output runs/cg
  {PROG} dpmd-joint demonstrations --task franka-handoff --output runs/dpmd --temperature 0.01
  {PROG} --resume --output runs/dpmd       (after Ctrl-C or a kill)
  codi-run --task franka-handoff --method dpmd-joint:checkpoint=runs/dpmd/checkpoint.safetensors

The run folder gets config.json, curve.csv and curve.png, checkpoint.safetensors, those that
--keep-every keeps, and training-state.pt, from which --resume goes on to the bit. A checkpoint is
refused for another goal, cost, temperature or base policy than it was trained for.
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Train a baseline; see ``codi-train-baseline --help``."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    stored = _stored(arguments)
    named = next((word for word in arguments if word in TRAINED), None)
    method = stored.get("method", named)
    if named not in (None, method):
        raise UsageError(
            f"{method} is trained there, not {named}: leave METHOD out to go on, or start a new "
            "run in another folder"
        )
    parsed = parse_for_task(PROG, partial(_parser, method), arguments, stored.get("task"))
    if parsed is None:
        return 0
    found, given = parsed
    if given.method is not None and named is None:
        raise unknown_name("trained method", given.method, TRAINED)
    if method is None:
        raise UsageError(f"which method? {PROG} METHOD DATASET --task NAME --output DIR")
    trained = TRAINED[method]
    values = _resumed(found, given, stored) if given.resume else _fresh(found, given, method)
    return run_training(PROG, arguments, values, trained.settings(), trained.parts)


def _parser(method: str | None, name: str | None, task: Task | None) -> Parser:
    parser = Parser(
        prog=PROG,
        add_help=False,
        description=_TEXT if method is None else f"Train {TRAINED[method].summary}.",
        epilog=f"{_EXAMPLES}\n{installed_epilog(PROG)}" if task is None else _EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    add_version(parser)
    parser.add_argument("method", nargs="?", metavar="METHOD", help="the method to train")
    parser.add_argument(
        "dataset",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="DATASET",
        help="the folder of the joint demonstrations",
    )
    parser.add_argument("--task", metavar="NAME", help="the task")
    add_folder_options(parser)
    plans = parser.add_argument_group("the plans that it is for")
    add_fields(plans, RunConfig, leave_out=set(FIELDS) - PLANS)
    if method is not None:
        add_settings(parser, TRAINED[method].settings())
    parser.add_argument(
        "--strict-plugins", action="store_true", help="a broken plugin is an error, not a warning"
    )
    if task is not None:
        add_fields(parser.add_argument_group(f"options of {name}"), task.Options, None, TASK_PREFIX)
    return parser


def _stored(arguments: Sequence[str]) -> dict[str, Any]:
    """The settings of the training to resume; nothing for a new one."""
    first = Parser(prog=PROG, add_help=False)
    first.add_argument("--output")
    first.add_argument("--resume", action="store_true")
    early, _ = first.parse_known_args(arguments)
    if not early.resume or early.output is None:
        return {}
    from codi_core.training.folder import read_document

    configuration: dict[str, Any] = read_document(Path(early.output))["configuration"]
    return configuration


def _fresh(found: InstalledTask, given: argparse.Namespace, method: str) -> dict[str, Any]:
    """The settings of a new training, with the plans that it is for resolved."""
    if "dataset" not in given:
        raise UsageError(
            f"give the folder of the demonstrations: {PROG} {method} DATASET --task {found.name} "
            "--output DIR"
        )
    values = _settings(given)
    asked = {name: values.pop(name) for name in PLANS if name in values}
    config = resolve({**asked, "method": method}, found.open(given_task_options(vars(given))))
    return {
        **values,
        **{name: getattr(config, name) for name in PLANS},
        "method": method,
        "task": found.name,
        "task_options": config.task_options,
    }


def _resumed(
    found: InstalledTask, given: argparse.Namespace, stored: Mapping[str, Any]
) -> dict[str, Any]:
    """What was given to a training that is gone on with; it is refused if it is another one."""
    values, options = _settings(given), given_task_options(vars(given))
    if options:
        values["task_options"] = {**stored["task_options"], **options}
    return {**values, "task": found.name}


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    """The values of the settings' own fields, and what says where to."""
    others = {"help", "method", "task", "strict_plugins"}
    return {
        name: value
        for name, value in vars(given).items()
        if name not in others and not name.startswith(TASK_PREFIX)
    }


if __name__ == "__main__":
    sys.exit(main())
