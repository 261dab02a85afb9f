"""Predictors, environments and plants, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs

from codi_core.errors import UsageError
from codi_core.host.assembly.names import suitable, unknown_for, with_registered
from codi_core.host.assembly.open_task import OpenTask
from codi_core.host.assembly.placement import place
from codi_core.host.assembly.simulators import simulator_maker, with_simulator
from codi_core.host.choices import Choice, make_part
from codi_core.predictors import Predictor
from codi_core.resources import Resources
from codi_core.tasks import Environment, Plant


def make_predictor(opened: OpenTask, choice: Choice, resources: Resources) -> Predictor:
    """One of the task's own predictors, or a registered one.

    One that simulates takes a simulator by name, ``NAME:simulator=NAME``, as ``--simulator`` does.

    Raises:
        UsageError: an unknown name or option, or a predictor that can't work on the device.
    """
    made: Mapping[str, Callable[..., Predictor]] = with_registered(
        opened.parts.predictors,
        opened.host.predictors,
        opened.name,
        lambda factory: partial(factory, opened.parts),
    )
    if choice.name not in made:
        raise unknown_for(opened.host.predictors, opened.name, choice.name, made)
    factory, what = made[choice.name], f"predictor '{choice.name}'"
    options = with_simulator(opened, factory, choice.options, resources)
    predictor: Predictor = make_part(factory, what, resources, kind=Predictor, options=options)
    place(predictor, resources)
    return predictor


def make_environment(
    opened: OpenTask, simulator: Choice | None, resources: Resources
) -> Environment:
    """The task's environment, in the chosen simulator if it takes one.

    A simulator gets the device of the plans, and uses it if it can; the rest is on the host.

    Raises:
        UsageError: an unknown simulator, or a task that takes none.
    """
    on_host = attrs.evolve(resources, device="cpu")
    if opened.parts.simulator is None:
        if simulator is not None:
            raise UsageError(
                f"task '{opened.name}' simulates by itself: leave --simulator {simulator} out"
            )
        return _environment(opened, on_host)
    chosen = simulator or Choice(opened.parts.simulator)
    return _environment(opened, on_host, simulator_maker(opened, chosen, resources))


def _environment(opened: OpenTask, *arguments: Any) -> Environment:
    what = f"the environment of task '{opened.name}'"
    made: Environment = make_part(opened.parts.environment, what, *arguments, kind=Environment)
    return made


def plant_factory(opened: OpenTask, driver: Choice, resources: Resources) -> Callable[[], Plant]:
    """Makes the plants of a driver, one an episode.

    Raises:
        UsageError: an unknown driver.
    """
    record = suitable(opened.host.drivers, opened.name, driver.name)
    return partial(
        make_part,
        record.factory,
        f"driver '{record.name}'",
        opened.parts,
        resources,
        kind=Plant,
        options=driver.options,
    )
