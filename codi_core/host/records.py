"""What plugins register: small frozen records with a name, one line of summary and a factory.

A record is cheap. Whatever is heavy (torch, a simulator, a mesh) is imported by the factory, when
somebody has asked for the record by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from pathlib import Path

    from codi_core.costs import CostFunction
    from codi_core.guidance import Guidance
    from codi_core.planning import Planner
    from codi_core.policies import ProductPolicy
    from codi_core.posteriors import PosteriorApproximation
    from codi_core.predictors import Predictor
    from codi_core.samplers import Sampler, Schedule
    from codi_core.tasks import Task
    from codi_core.tasks.task import Hold

Main = Callable[[Sequence[str] | None], int]
"""A command's entry: arguments (None: those of the process) to an exit code."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _check_name(_: object, __: object, value: str) -> None:
    # ':', '=', ',' and '+' mean something in options such as --cost NAME=WEIGHT:option=value.
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a name: use letters, digits, '-', '_' and '.', "
            "with a letter or a digit first"
        )


def _listed(values: Any) -> Any:
    """A tuple, but for a text, which is as iterable as a list of names is."""
    return values if isinstance(values, str) else tuple(values)


def _check_task_names(record: Record, _: object, tasks: Any) -> None:
    if isinstance(tasks, str):
        raise TypeError(
            f"'{record.name}' has tasks={tasks!r}, a text where names are listed: "
            f"write tasks=({tasks!r},)"
        )
    wrong = [name for name in tasks if not isinstance(name, str)]
    if wrong:
        raise TypeError(f"'{record.name}' has {wrong[0]!r} among its tasks, which is no name")


@attrs.frozen
class Record:
    """What all records have.

    Attributes:
        name: how it is asked for on the command line; unique among records of its kind.
        summary: one line for lists and help texts.
        factory: makes the thing; the place for heavy imports.
    """

    name: str = attrs.field(validator=_check_name)
    summary: str = attrs.field(validator=attrs.validators.instance_of(str))
    factory: Callable[..., Any]

    def __attrs_post_init__(self) -> None:
        if not callable(self.factory):
            raise TypeError(f"the factory of '{self.name}' is not callable: {self.factory!r}")


@attrs.frozen
class TaskRecord(Record):
    """A task, for ``--task NAME``. ``factory()`` makes it."""

    factory: Callable[[], Task]


@attrs.frozen
class ForTasks(Record):
    """A record of a part that may be meant for some tasks only.

    Attributes:
        tasks: the names of the tasks that it is meant for; empty for any task.
    """

    tasks: tuple[str, ...] = attrs.field(default=(), converter=_listed, validator=_check_task_names)

    def suits(self, task: str) -> bool:
        """Whether it is meant for that task."""
        return not self.tasks or task in self.tasks


@attrs.frozen
class CostRecord(ForTasks):
    """A cost function, for ``--cost NAME``. ``factory(**options)`` makes it.

    It reads the trajectories of the tasks that it is meant for.
    """


@attrs.frozen
class BasePolicyRecord(ForTasks):
    """A kind of base policy, for ``--policy NAME``.

    ``factory(spec, checkpoint, resources, **options)`` makes the policy of a
    :class:`codi_core.policies.PolicySpec`; it is called once for each kind of agents, and
    ``checkpoint`` is what the user named, a path, or None.
    """


@attrs.frozen
class PredictorRecord(ForTasks):
    """A predictor, for ``--predictor NAME``.

    ``factory(parts, resources, **options)`` makes it for a task's
    :class:`codi_core.tasks.TaskParts`.
    """


@attrs.frozen
class PosteriorRecord(Record):
    """A posterior approximation, for ``--posterior NAME``. ``factory(**options)`` makes it."""

    factory: Callable[..., PosteriorApproximation]


@attrs.frozen
class GuidanceRecord(Record):
    """A guidance, for ``--guidance NAME``.

    ``factory(posterior=..., samples=M, temperature=λ, **options)`` makes it.
    """

    factory: Callable[..., Guidance]


@attrs.frozen
class SamplerRecord(Record):
    """A sampler, for ``--sampler NAME``. ``factory(schedule=..., **options)`` makes it."""

    factory: Callable[..., Sampler]


@attrs.frozen
class SimulatorRecord(ForTasks):
    """A physics simulator, for ``--simulator NAME``.

    ``factory(resources, **options)`` returns a function that makes simulators. The task calls it
    with what it needs (say, how many copies), and documents these arguments.
    """


@attrs.frozen
class DriverRecord(ForTasks):
    """A hardware driver, for ``--driver NAME``: a plant on the wall clock.

    ``factory(parts, resources, **options)`` makes one plant for one episode of a task with these
    :class:`codi_core.tasks.TaskParts`.
    """


@attrs.frozen
class MethodRecord(Record):
    """A whole planning method, for ``--method NAME``.

    ``factory(parts, **options)`` makes a planner from :class:`MethodParts`.

    Attributes:
        policy: the offer of base policies that it takes unless the user names another; None for
            the task's first.
        cost: the variant of the task's own cost that it takes, likewise; None for the default.
        settings: plan settings that it takes unless the user names others, whatever the task's own
            are; by the names of :class:`codi_core.tasks.PlanSettings`.
    """

    factory: Callable[..., Planner]
    policy: str | None = None
    cost: str | None = None
    settings: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class CommandRecord(Record):
    """A command, for ``codi NAME ...``. ``factory()`` imports and returns its ``main``."""

    factory: Callable[[], Main]


@attrs.frozen
class BenchmarkRecord(Record):
    """A benchmark, for ``codi-bench NAME ...``. ``factory()`` imports and returns its ``main``."""

    factory: Callable[[], Main]


@attrs.frozen
class PlannedFor:
    """What plans are made for, by name: a method may have been trained for that and nothing else.

    Attributes:
        task: the task's name.
        task_options: the values of its own options.
        cost: the terms of the cost, as for ``--cost``, each with its weight.
        predictor: as for ``--predictor``.
        checkpoints: by kind of agents, the file of the base policy; None where there is none.
    """

    task: str
    task_options: Mapping[str, Any]
    cost: tuple[str, ...]
    predictor: str
    checkpoints: Mapping[str, Path | None]


@attrs.frozen
class MethodParts:
    """What a method may build its planner from; it takes what it needs.

    Attributes:
        product: the product of the task's base policies.
        predictor: the chosen predictor.
        cost: the chosen cost.
        guidance: the chosen guidance, with M and λ.
        sampler: the chosen sampler, with its schedule.
        samples: M, for methods that draw samples without a guidance.
        temperature: λ, likewise.
        hold: the task's function for standing still, if it has one.
        planned_for: what plans are made for; None outside of an experiment.
        students: the students that the task ships for its base policies.
    """

    product: ProductPolicy
    predictor: Predictor
    cost: CostFunction
    guidance: Guidance
    sampler: Sampler
    samples: int
    temperature: float
    hold: Hold | None = None
    planned_for: PlannedFor | None = None
    students: tuple[Path, ...] = ()

    @property
    def schedule(self) -> Schedule:
        """The sampler's noise levels, for methods that take steps of their own."""
        return self.sampler.schedule
