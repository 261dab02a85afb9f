"""The cost: the weighted sum of the chosen terms (Eq. 20)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from codi_core.costs import CostFunction, CostTerm, WeightedCost
from codi_core.errors import SpecificationError
from codi_core.host.assembly.names import unknown_for, with_registered
from codi_core.host.assembly.placement import place
from codi_core.host.choices import Choice, make_part
from codi_core.host.plugins import Host
from codi_core.resources import Resources
from codi_core.tasks import Task


def make_cost(
    host: Host, name: str, task: Task, terms: Sequence[Choice], resources: Resources
) -> WeightedCost:
    """The weighted sum of the chosen cost terms, for the task ``name``."""
    valid = available_costs(host, name, task)
    made = []
    for term in terms:
        if term.name not in valid:
            raise unknown_for(host.costs, name, term.name, valid)
        function = make_part(
            valid[term.name], f"cost '{term.name}'", kind=CostFunction, options=term.options
        )
        place(function, resources)
        made.append(CostTerm(term.name, function, 1.0 if term.weight is None else term.weight))
    return WeightedCost(tuple(made))


def available_costs(host: Host, name: str, task: Task) -> Mapping[str, Callable[..., CostFunction]]:
    """The factories of all costs that suit the task, its own ones first."""
    return with_registered(own_costs(name, task), host.costs, name)


def own_costs(name: str, task: Task) -> Mapping[str, Callable[..., CostFunction]]:
    """The factories of the task's own costs.

    Raises:
        SpecificationError: the task returned something else.
    """
    own: object = task.costs()
    if not isinstance(own, Mapping):
        raise SpecificationError(
            f"task '{name}': costs() must return factories by name, not {own!r}"
        )
    return own
