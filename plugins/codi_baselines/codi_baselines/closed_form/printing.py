"""What ``codi-bench estimators`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codi_baselines.closed_form.session import Results
    from codi_baselines.closed_form.table import Row

LEVELS = ("2", "0.5", "0.05")
"""The noise levels whose errors of g are printed."""


def print_results(results: Results) -> None:
    """Print one table a dimension, and the verdicts in words."""
    from rich.console import Console

    from codi_baselines.closed_form.verdict import conclusions

    # Tables are wider than a log's 80 columns.
    console = Console()
    console = console if console.is_terminal else Console(width=150)
    for dimension in results.references:
        console.print(_table(results, dimension))
    for verdict in results.verdicts:
        print(verdict.sentence())
    for conclusion in conclusions(results.verdicts):
        print(conclusion)


def _table(results: Results, dimension: int) -> Any:
    from rich.table import Table
    from rich.text import Text

    targets = results.references[dimension]
    shown = ", ".join(f"{name} {value:.2f}" for name, value in targets.items())
    table = Table(
        title=f"D = {dimension}: E[J]/λ without guidance {results.unguided[dimension]:.0f}, {shown}"
    )
    table.add_column("estimator", no_wrap=True)
    for heading in (
        "M",
        "evaluations",
        "ms a plan",
        *(f"g error t={level}" for level in LEVELS),
        "E[J]/λ",
        "wrong modes",
        "energy distance",
        "TV of modes (chance)",
        "plans",
    ):
        table.add_column(heading, justify="right", min_width=4)
    for row in results.rows:
        if row.dimension == dimension:
            table.add_row(*(Text(value) for value in _values(row)))
    return table


def _values(row: Row) -> list[str]:
    guided = row.evaluations > 0
    return [
        row.estimator,
        str(row.samples) if guided else "",
        f"{row.evaluations:.0f}",
        f"{1e3 * row.seconds:.1f}",
        *(f"{row.errors[level]:.2f}" if level in row.errors else "" for level in LEVELS),
        f"{row.cost:.2f} ± {row.cost_error:.2f}",
        f"{row.wrong_modes:.1%}",
        f"{row.energy_distance:.3f}",
        f"{row.mode_distance:.2f} ({row.mode_floor:.2f})",
        str(row.plans),
    ]
