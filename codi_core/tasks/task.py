"""The interface of a task: a problem, and the parts that solving it takes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.errors import SpecificationError
from codi_core.planning import Observation
from codi_core.planning.defaults import SAMPLES, TEMPERATURE
from codi_core.predictors import Predictor
from codi_core.resources import Resources
from codi_core.samplers import KarrasSchedule
from codi_core.tasks.demonstrator import Demonstrator
from codi_core.tasks.environment import Environment
from codi_core.tasks.metrics import Metrics
from codi_core.tasks.policies import PolicyOffer
from codi_core.tasks.renderer import Renderer, Trace

Advance = Callable[[Any, tuple[Tensor, ...]], tuple[Any, Observation]]
"""Foresees what committed actions lead to: from a state estimate (B, ...) and one chunk an agent,
(B, c, A_i), to the state estimate c control periods later and the joint observation made from it,
named tensors (B, ...) without a history axis."""


Restore = Callable[[Mapping[str, Tensor]], tuple[Any, Observation]]
"""Restores recorded frames: from their features by name, (n, size) each, to the state estimate of n
worlds, which has what the task's own options ask for (a goal, say), and to the joint observation,
named tensors (n, ...) without a history axis."""

Hold = Callable[[Any], tuple[Tensor, ...]]
"""How agents stand still: from a state estimate (B, ...) to one action an agent, (B, A_i)."""


@attrs.frozen(eq=False)
class Finish:
    """What a task agrees on for the time when it is done.

    Attributes:
        done: from a state estimate (B, ...) to whether the task is done, (B,) booleans.
        chunks: what agents do then: from the state estimate and a number of steps K to a chunk an
            agent, (B, K, A_i), physical units. It is asked for in worlds that are not done, too.
    """

    done: Callable[[Any], Tensor]
    chunks: Callable[[Any, int], tuple[Tensor, ...]]


GOAL_ALONE, INDEPENDENT = "goal", "independent"
"""The names of the variants of a task's own cost that the paper's ablations take."""

_SCHEDULE = KarrasSchedule()


@attrs.frozen
class PlanSettings:
    """How plans are made; each field is an option of ``codi-run``.

    Attributes:
        samples: M, posterior samples a denoising step.
        temperature: λ of Eq. 6, in units of the cost.
        steps: denoising steps.
        sigma_max: the first noise level.
        sigma_min: the last noise level above zero.
        rho: the spacing of the Karras schedule.
        execute: E, how many of the K planned actions are executed before the next plan takes over.
        posterior: the posterior approximation, NAME[:option=value,...].
        guidance: the guidance, likewise.
        sampler: the sampler, likewise.
        method: the planning method, likewise. One that brings settings of its own
            (:class:`codi_core.MethodRecord`) prevails over those above.
    """

    samples: int = SAMPLES
    temperature: float = TEMPERATURE
    steps: int = _SCHEDULE.steps
    sigma_max: float = _SCHEDULE.sigma_max
    sigma_min: float = _SCHEDULE.sigma_min
    rho: float = _SCHEDULE.rho
    execute: int = 4
    posterior: str = "isotropic"
    guidance: str = "monte-carlo"
    sampler: str = "ancestral"
    method: str = "codi"


def _names(agents: Iterable[str]) -> tuple[str, ...]:
    if isinstance(agents, str):
        raise SpecificationError(f"agents={agents!r} is a text: name the agents in a tuple")
    return tuple(agents)


@attrs.frozen
class TaskParts:
    """A task's parts, made for one set of task options.

    Attributes:
        agents: the agents' names, in the order of their indices.
        rate_hz: the control rate [Hz].
        environment: makes the environment with resources; for a task with ``simulator`` also with
            what makes simulators.
        policies: the base policies that the task offers, by name; the first is the default.
        predictors: makes each of the task's own predictors by name, with resources and its options;
            the first is the default.
        default_costs: the weights of the task's own cost, by registered cost name.
        cost_variants: other weights by the variant's name, for methods that ask for it: "goal" is
            what is to be reached and nothing else, "independent" leaves out what agents owe to one
            another.
        metrics: scores episodes.
        renderer: draws episodes, or None if the task has no pictures.
        settings: the plan settings known to work for the task.
        settings_for: other ones, by the name of the predictor that they are meant for; a slow
            predictor may need fewer samples to keep up with the robots.
        method_settings: by method, values of these settings that it has in this task, whatever the
            predictor is.
        max_seconds: the time limit of an episode [s].
        after_success: how long an episode goes on after its success [s]; None for up to the time
            limit.
        advance: foresees a state while a slow planner thinks; None refuses ``--latency``.
        demonstrator: makes what ``codi-collect`` runs, with resources; None if the task has no
            demonstrations.
        joint_demonstrator: the same for ``codi-collect --joint``: demonstrations of all agents at
            once, in the layout of recordings.
        restore: restores recorded frames; None refuses methods that are trained on them.
        hold: how agents stand still; None refuses methods that ask for it.
        finish: when the task is done and what agents do then; None if plans go on to the end.
        simulator: the name of the simulator that the environment takes by default; None for an
            environment that simulates by itself.
        paths: from a predicted trajectory, how agents and objects move as seen from above, named
            tensors (B, M, K, 2) [m] in the world frame, for pictures of plans; None if there is
            nothing to draw.
        remark: what videos say of a control step, from an episode's events and the step's number,
            such as how far the object is from its goal; None for nothing.
        presets: sets of options by name, for ``--preset NAME``: values of ``codi-run``'s options by
            field name.
        options: the task's own options that the parts were made for, for drivers, which are made
            from the parts alone.
        ragged: the names of events whose sizes differ from episode to episode, as those of maps
            do; recordings leave them out.
    """

    agents: tuple[str, ...] = attrs.field(converter=_names)
    rate_hz: float
    environment: Callable[..., Environment]
    policies: Mapping[str, PolicyOffer]
    predictors: Mapping[str, Callable[..., Predictor]]
    default_costs: Mapping[str, float]
    metrics: Metrics
    renderer: Renderer | None = None
    settings: PlanSettings = attrs.field(factory=PlanSettings)
    settings_for: Mapping[str, PlanSettings] = attrs.field(factory=dict)
    method_settings: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    max_seconds: float = 60.0
    after_success: float | None = None
    advance: Advance | None = None
    demonstrator: Callable[[Resources], Demonstrator] | None = None
    joint_demonstrator: Callable[[Resources], Demonstrator] | None = None
    restore: Restore | None = None
    hold: Hold | None = None
    finish: Finish | None = None
    cost_variants: Mapping[str, Mapping[str, float]] = attrs.field(factory=dict)
    simulator: str | None = None
    paths: Callable[[Any], Mapping[str, Tensor]] | None = None
    remark: Callable[[Trace, int], str] | None = None
    presets: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    ragged: frozenset[str] = frozenset()
    options: object = None

    def __attrs_post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise SpecificationError(
                    f"a task's `{name}` must be a {kind.__name__}, not {value!r}"
                )
        if self.renderer is not None and not isinstance(self.renderer, Renderer):
            raise SpecificationError(
                f"a task's `renderer` must be a Renderer or None, not {self.renderer!r}"
            )
        rate: object = self.rate_hz
        if not isinstance(rate, int | float) or not 0 < rate < math.inf:
            raise SpecificationError(
                f"a task's `rate_hz` must be a positive number, not {self.rate_hz!r}"
            )


_KINDS: Mapping[str, type] = {
    "policies": Mapping,
    "predictors": Mapping,
    "default_costs": Mapping,
    "metrics": Metrics,
    "settings": PlanSettings,
    "settings_for": Mapping,
    "method_settings": Mapping,
    "cost_variants": Mapping,
    "presets": Mapping,
}
"""What some of a task's parts must be, by name."""


@attrs.frozen
class NoOptions:
    """For what has no options."""


class Task(ABC):
    """A problem that coordinated policies solve.

    Attributes:
        Options: an attrs class whose fields are the task's own options. ``codi-run`` offers each
            as ``--field-name`` with the help text in the field's metadata under "help".
        CollectionOptions: an attrs class with those fields of ``Options`` that demonstrations
            depend on: what ``codi-collect`` offers. The others keep their defaults.
    """

    Options: type[Any] = NoOptions
    CollectionOptions: type[Any] = NoOptions

    @abstractmethod
    def parts(self, options: Any) -> TaskParts:
        """Make the parts for an instance of ``Options``."""

    @abstractmethod
    def costs(self) -> Mapping[str, Callable[..., CostFunction]]:
        """The task's own cost terms by name; their keyword arguments are options."""
