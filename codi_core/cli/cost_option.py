"""The option ``--cost``: which terms make the cost, and with which weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from codi_core.host.choices import Choice, combine_costs, parse_choice

HELP = (
    "a cost term: NAME, NAME=WEIGHT, NAME:option=value,... or NAME=WEIGHT:option=value,...; "
    "repeatable. Plain names replace the task's own cost, +NAME adds to it or re-weights a term"
)


def resolve_costs(asked: Iterable[str], defaults: Mapping[str, float]) -> tuple[Choice, ...]:
    """The cost's terms, from the texts of ``--cost`` and the task's default weights.

    Raises:
        UsageError: a text of another form, or a name given twice.
    """
    own = [Choice(name, float(weight)) for name, weight in defaults.items()]
    return combine_costs(own, [parse_choice(text, "--cost", weighted=True) for text in asked])
