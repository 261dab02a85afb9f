"""What is run: the methods of the paper's figures, and two peers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codi_core.errors import CodiError

if TYPE_CHECKING:
    from codi_core.experiments import InstalledTask


@attrs.frozen
class Row:
    """One method as it is run.

    Attributes:
        label: its name on the command line and in folders.
        name: its name in figures and tables.
        options: the options of ``codi-run``; the task's own ones are under "task_options".
        quick: whether it is among the rows of a quick run.
    """

    label: str
    name: str
    options: Mapping[str, Any]
    quick: bool = True


_NO_GUARD = {"guard": False}

ROWS = (
    Row("codi", "CoDi", {"method": "codi"}),
    Row("codi-200", "CoDi, 20 %", {"method": "codi", "policy": "single-agent-200"}),
    Row("codi-joint", "CoDi-Joint", {"method": "codi-joint"}),
    Row("cg-joint", "CG-Joint", {"method": "cg-joint"}),
    Row("cg-joint-200", "CG-Joint, 20 %", {"method": "cg-joint", "policy": "joint-200"}),
    Row("cg-product", "CG-Product", {"method": "cg-product"}),
    Row("dpmd-joint", "DPMD-Joint", {"method": "dpmd-joint"}),
    Row("sdac-joint", "SDAC-Joint", {"method": "sdac-joint"}, quick=False),
    Row("expo-joint", "EXPO-Joint", {"method": "expo-joint"}, quick=False),
    Row("base-joint", "joint policy alone", {"method": "base", "policy": "joint"}),
    Row("base", "policies alone", {"method": "base"}),
    Row("codi-no-guard", "CoDi, no guard", {"method": "codi", "task_options": _NO_GUARD}),
    Row(
        "codi-indep-no-guard",
        "CoDi-Indep., no guard",
        {"method": "codi-indep", "task_options": _NO_GUARD},
    ),
    Row("codi-indep", "CoDi-Indep.", {"method": "codi-indep"}, quick=False),
    Row("codi-simple", "CoDi-Simple", {"method": "codi-simple"}),
    Row("codi-joint-simple", "CoDi-Joint-Simple", {"method": "codi-joint-simple"}),
    # 128 rollouts a replan: whole samples of 4 denoising steps, or 8 particles in 16 steps.
    Row(
        "best-of",
        "best of 128",
        {"method": "best-of", "samples": 128, "steps": 4, "sampler": "ancestral"},
        quick=False,
    ),
    Row(
        "resampling",
        "resampling",
        {"method": "resampling", "samples": 8, "steps": 16, "sampler": "ancestral"},
        quick=False,
    ),
)


def sort_out(
    rows: Iterable[Row], found: InstalledTask, shared: Mapping[str, Any]
) -> tuple[list[Row], dict[str, str]]:
    """Which rows can be run here, and why the others can't.

    A row's planner is made for that: its method must be installed, its policies offered by the
    task, and its checkpoints there.

    Args:
        rows: those that are looked at.
        found: the task.
        shared: options of all rows.

    Returns:
        The rows that can be run, and the reason of each other one by its label.
    """
    from codi_core.experiments import Experiment, resolve

    able, reasons = [], {}
    for row in rows:
        options = {**shared, **row.options}
        own = {**shared.get("task_options", {}), **row.options.get("task_options", {})}
        options.pop("task_options", None)
        try:
            opened = found.open(own)
            Experiment(opened, resolve(options, opened)).planner()
            able.append(row)
        except CodiError as error:
            reasons[row.label] = str(error)
    return able, reasons
