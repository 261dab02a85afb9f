"""The interface of a task: a problem, and the parts that solving it takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from codi_core.costs import CostFunction
from codi_core.planning import Observation
from codi_core.policies import Factor
from codi_core.predictors import Predictor
from codi_core.tasks.demonstrator import Demonstrator
from codi_core.tasks.environment import Environment
from codi_core.tasks.metrics import Metrics
from codi_core.tasks.renderer import Renderer

Advance = Callable[[Any, tuple[Tensor, ...]], tuple[Any, Observation]]
"""Foresees what committed actions lead to: from a state estimate (B, ...) and one chunk an agent,
(B, c, A_i), to the state estimate c control periods later and the joint observation made from it,
named tensors (B, ...) without a history axis."""


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
    """

    samples: int = 64
    temperature: float = 0.002
    steps: int = 16
    sigma_max: float = 40.0
    sigma_min: float = 0.05
    rho: float = 5.0
    execute: int = 4
    posterior: str = "isotropic"
    guidance: str = "monte-carlo"
    sampler: str = "ancestral"


@attrs.frozen
class TaskParts:
    """A task's parts, made for one set of task options.

    Attributes:
        agents: the agents' names, in the order of their indices.
        rate_hz: the control rate [Hz].
        environment: makes the environment, with a number of physics threads.
        factors: makes the factors from a checkpoint; None stands for the shipped one.
        predictors: makes each predictor by name, with a number of physics threads; the first is the
            default.
        default_costs: the weights of the task's own cost, by registered cost name.
        metrics: scores episodes.
        renderer: draws episodes, or None if the task has no pictures.
        settings: the plan settings known to work for the task.
        settings_for: other ones, by the name of the predictor that they are meant for; a slow
            predictor may need fewer samples to keep up with the robots.
        max_seconds: the time limit of an episode [s].
        after_success: how long an episode goes on after its success [s]; None for up to the time
            limit.
        advance: foresees a state while a slow planner thinks; None refuses ``--latency``.
        demonstrator: makes what ``codi-collect`` runs, with a number of physics threads; None if
            the task has no demonstrations.
    """

    agents: tuple[str, ...]
    rate_hz: float
    environment: Callable[[int], Environment]
    factors: Callable[[Path | None], tuple[Factor, ...]]
    predictors: Mapping[str, Callable[[int], Predictor]]
    default_costs: Mapping[str, float]
    metrics: Metrics
    renderer: Renderer | None = None
    settings: PlanSettings = attrs.field(factory=PlanSettings)
    settings_for: Mapping[str, PlanSettings] = attrs.field(factory=dict)
    max_seconds: float = 60.0
    after_success: float | None = None
    advance: Advance | None = None
    demonstrator: Callable[[int], Demonstrator] | None = None


class Task(ABC):
    """A problem that coordinated policies solve.

    Attributes:
        Options: an attrs class whose fields are the task's own options. ``codi-run`` offers each
            as ``--field-name`` with the help text in the field's metadata under "help".
    """

    Options: type[Any]

    @abstractmethod
    def parts(self, options: Any) -> TaskParts:
        """Make the parts for an instance of ``Options``."""

    @abstractmethod
    def costs(self) -> Mapping[str, Callable[..., CostFunction]]:
        """The task's own cost terms by name; their keyword arguments are options."""
