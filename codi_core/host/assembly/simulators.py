"""What makes simulators, by name: for a task's environment and for predictors that simulate."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from codi_core.errors import SpecificationError
from codi_core.host.assembly.names import suitable
from codi_core.host.assembly.open_task import OpenTask
from codi_core.host.choices import Choice, make_part
from codi_core.resources import Resources

OPTION = "simulator"
"""The option, and the argument of a factory, by which a predictor takes any simulator."""


def simulator_maker(opened: OpenTask, choice: Choice, resources: Resources) -> Callable[..., Any]:
    """What makes the task's simulators of that name.

    Raises:
        UsageError: an unknown simulator or option.
        SpecificationError: its factory does not return a function.
    """
    record = suitable(opened.host.simulators, opened.name, choice.name)
    what = f"simulator '{record.name}'"
    maker = make_part(record.factory, what, resources, options=choice.options)
    if not callable(maker):
        raise SpecificationError(
            f"{what} cannot be made: its factory must return a function that makes simulators, not "
            f"{maker!r}"
        )
    found: Callable[..., Any] = maker
    return found


def with_simulator(
    opened: OpenTask,
    factory: Callable[..., Any],
    options: Mapping[str, Any],
    resources: Resources,
) -> Mapping[str, Any]:
    """A predictor's options, with what makes simulators in place of a simulator's name.

    Options that the factory does not take itself are the simulator's.

    Raises:
        UsageError: an unknown simulator or option.
    """
    takes = inspect.signature(factory).parameters
    if OPTION not in options or OPTION not in takes:
        return options
    own = {name: value for name, value in options.items() if name in takes and name != OPTION}
    others = {name: value for name, value in options.items() if name not in takes}
    choice = Choice(str(options[OPTION]), options=others)
    return {**own, OPTION: simulator_maker(opened, choice, resources)}
